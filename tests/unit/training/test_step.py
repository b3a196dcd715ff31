"""The training step with every option; on several devices, see test_sharded_step.py."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from benchmarks.common.compiled_step import batch_shapes
from tests.helpers.tiny_training import tiny_batch, tiny_config
from tpsm_jax.errors import InputError
from tpsm_jax.models.registry import build_model
from tpsm_jax.parallel.sharding import batch_sharding, make_mesh
from tpsm_jax.training.recipes.tpsm import LossSettings, draw, tpsm_losses
from tpsm_jax.training.schedule import Phase
from tpsm_jax.training.setup import make_model_trainer
from tpsm_jax.training.step import train_step
from tpsm_jax.training.weights import initial_networks

pytestmark = pytest.mark.slow
ALL = Phase(background=True, dropout=True)


def take_step(trainer, state, compiled):
    """State and metrics after one step."""
    sharding, batch = batch_sharding(trainer.mesh), tiny_batch(lean_config())
    batch = {key: jax.device_put(batch[key], sharding) for key in ("source", "driving")}
    state, metrics = compiled(state, batch, None)
    return state, jax.device_get(metrics)


def lean_config(**fields):
    """Without what the options below have nothing to do with, to compile faster."""
    config = tiny_config(**fields)
    config.model_params.common_params.bg = False
    config.model_params.common_params.multi_mask = False
    config.model_params.generator_params.num_down_blocks = 1
    config.train_params.loss_weights.equivariance_value = 0
    config.train_params.loss_weights.warp_loss = 0
    config.train_params.loss_weights.contribution = 2
    config.train_params.scales = (1,)
    config.dataset_params.augmentation_params = None
    return config


def started_from(kept, trainer):
    """A trainer's first state with the parameters of another; its own would have to be compiled."""
    shapes = trainer.abstract_state()
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes.opt_state)
    average = jax.tree.map(np.copy, kept.params) if shapes.ema_params else None
    return jax.device_put(kept.replace(opt_state=zeros, ema_params=average), trainer.shardings)


def lean_step(kept=None, **fields):
    """State before (`kept`, or a new one), after one step, metrics, trainer, and compiled step."""
    config = lean_config(**fields)
    trainer = make_model_trainer(config, make_mesh(jax.devices()[:2]), steps_per_epoch=1)
    before = started_from(kept, trainer) if kept else trainer.create_state()
    kept = jax.device_get(before)
    lowered = trainer.lower(batch_shapes(trainer, config), Phase(False, dropout=True))
    compiled = lowered.compile()
    after, metrics = take_step(trainer, before, compiled)
    return kept, jax.device_get(after), metrics, trainer, compiled


@pytest.fixture(scope="module")
def lean():
    return lean_step()


def test_a_step_that_is_not_finite_changes_nothing(lean):
    _, state, metrics, trainer, compiled = lean
    assert metrics["finite"] == 1
    assert 0 < metrics["loss/contribution"] < metrics["loss"]
    infinite = jax.tree.map(np.array, state)
    infinite.params["inpainting_network"]["final"]["bias"][0] = np.nan
    after, metrics = take_step(trainer, jax.device_put(infinite, trainer.shardings), compiled)
    assert metrics["finite"] == 0
    assert int(after.step) == int(state.step) + 1
    jax.tree.map(np.testing.assert_array_equal, after.params, infinite.params)
    jax.tree.map(np.testing.assert_array_equal, after.batch_stats, infinite.batch_stats)
    jax.tree.map(np.testing.assert_array_equal, after.opt_state, infinite.opt_state)


def test_average_frozen_parameters_warm_up_and_another_optimizer(lean):
    before, after, metrics, *_ = lean_step(
        lean[0],
        ema_decay=0.75,
        freeze=("kp_detector", "inpainting_network/final"),
        warmup_steps=4,
        optimizer="sgd",
    )
    plain = lean[2]
    np.testing.assert_allclose(metrics["learning_rate/generator"], 2e-4 / 4, rtol=1e-6)
    # Frozen: no change, and a network frozen whole keeps its statistics and has no gradient.
    assert metrics["gradient/kp_detector"] == 0
    assert metrics["gradient/inpainting_network"] > 0
    jax.tree.map(
        np.testing.assert_array_equal, after.params["kp_detector"], before.params["kp_detector"]
    )
    jax.tree.map(np.testing.assert_array_equal, after.batch_stats, before.batch_stats)
    final = ("inpainting_network", "final", "kernel")
    np.testing.assert_array_equal(*(state.params[final[0]][final[1]][final[2]]
                                    for state in (before, after)))  # fmt: skip
    # Plain gradient descent: the change is the rate times the gradient.
    change = jax.tree.map(np.subtract, before.params, after.params)["dense_motion_network"]
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(change))
    expected = 5e-5 * min(float(metrics["gradient/dense_motion_network"]), 10)
    np.testing.assert_allclose(largest, expected, rtol=1e-2)
    # The average moves by a quarter of what the parameters move.
    average = jax.tree.map(lambda a, b: 0.75 * a + 0.25 * b, before.params, after.params)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
        after.ema_params,
        average,
    )
    assert after.variables()["params"] is after.ema_params
    # The detector in evaluation mode sees other keypoints.
    assert metrics["loss"] != plain["loss"]


def test_bfloat16_is_near(lean):
    _, after, metrics, trainer, _ = lean_step(lean[0], compute_dtype="bfloat16")
    np.testing.assert_allclose(metrics["loss"], lean[2]["loss"], rtol=0.05)
    assert metrics["loss"] != lean[2]["loss"]
    for state in (trainer.abstract_state(), after):
        assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {np.dtype(np.float32)}


def test_accumulated_parts_are_averaged_and_recomputing_changes_nothing(lean):
    networks = ("kp_detector", "dense_motion_network", "inpainting_network", "vgg19")
    config = lean_config(accumulate_steps=2, remat=networks, optimizer="sgd")
    mesh = make_mesh(jax.devices()[:1])
    batch = tiny_batch(config)
    batch = {key: batch[key].astype(np.float32) / 255 for key in ("source", "driving")}
    draws = draw(jax.random.key(1), config, jnp.int32(0), ALL)
    # Plain gradient descent at a rate of 1: what a step subtracts is the gradient.
    recipe = dataclasses.replace(
        make_model_trainer(config, mesh, steps_per_epoch=1).recipe,
        augment=lambda rng, batch: batch,
        draw=lambda rng, step, phase: draws,
        learning_rate=lambda step: jnp.float32(1),
        bounded=(),
    )
    state = lean[0].replace(
        opt_state={name: opt.init({}) for name, opt in recipe.optimizers.items()}
    )
    phase = Phase(background=False, dropout=True)
    step = functools.partial(train_step, recipe=recipe, phase=phase, mesh=mesh)
    after, metrics = jax.jit(step)(state, batch, None)
    gradients = jax.tree.map(np.subtract, state.params, after.params)

    model = build_model(config.model_params)

    @jax.jit
    def of_part(batch_stats, batch, draws):
        def loss(params):
            terms, _, changed = tpsm_losses(
                model, {"params": params, "batch_stats": batch_stats}, batch,
                draws, LossSettings.of(config.train_params), lambda images: [images],
                background=False,
            )  # fmt: skip
            return sum(terms.values()), changed

        return jax.value_and_grad(loss, has_aux=True)(state.params)

    expected, total, stats = [], [], state.batch_stats
    for part in range(2):
        rows = jax.tree.map(lambda leaf, part=part: leaf[part::2], (batch, draws))
        (loss, stats), gradient = of_part(stats, *rows)
        expected.append(gradient)
        total.append(loss)
    np.testing.assert_allclose(metrics["loss"], np.mean(total), rtol=1e-5)
    mean = optax.tree.scale(0.5, optax.tree.add(*expected))
    scale = max(np.abs(leaf).max() for leaf in jax.tree.leaves(mean))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5 * scale), gradients, mean
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        after.batch_stats,
        stats,
    )


def test_the_papers_rescaling_of_kept_splines():
    config = lean_config(dropout_rescale=True)
    config.train_params.update({"dropout_startp": 0.25, "dropout_maxp": 0.25})
    kept = np.asarray(draw(jax.random.key(0), config, jnp.int32(0), ALL).kept_tps)
    assert set(np.unique(kept)) == {np.float32(0), np.float32(1 / 0.75)}
    assert draw(jax.random.key(0), config, jnp.int32(0), Phase(False, False)).kept_tps is None


def test_training_starts_from_given_networks(lean):
    before, *_ = lean
    given = jax.tree.map(lambda leaf: leaf + 1, before.variables())
    given = initial_networks(given, ("kp_detector",))
    trainer = make_model_trainer(
        lean_config(ema_decay=0.5), make_mesh(jax.devices()[:1]), steps_per_epoch=1,
        initial_variables=given,
    )  # fmt: skip
    state = trainer.create_state()
    for tree in (state.params, state.ema_params):
        jax.tree.map(np.testing.assert_array_equal, tree["kp_detector"],
                     given["params"]["kp_detector"])  # fmt: skip
    jax.tree.map(np.testing.assert_array_equal, state.params["inpainting_network"],
                 before.params["inpainting_network"])  # fmt: skip


def test_networks_that_a_checkpoint_lacks_are_reported():
    with pytest.raises(InputError, match="avd_network"):
        initial_networks({"params": {"kp_detector": {}}, "batch_stats": {}}, ("avd_network",))


def test_weights_of_vgg19_that_are_missing_are_named():
    config = tiny_config(perceptual_features="vgg19")
    with pytest.raises(InputError, match="convert_torch_weights.py --vgg19"):
        make_model_trainer(config, make_mesh(jax.devices()[:1]), steps_per_epoch=1)
