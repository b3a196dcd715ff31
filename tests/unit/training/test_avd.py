"""The AVD stage: what it changes, what it must not, and its learning rate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers.small import draw_variables, without
from tests.helpers.tiny_training import tiny_batch, tiny_config
from tpsm_jax.checkpoints.converted import Checkpoint
from tpsm_jax.models.registry import build_model
from tpsm_jax.parallel.sharding import batch_sharding, make_mesh
from tpsm_jax.training.optimizer import make_optimizer
from tpsm_jax.training.recipes.avd import draw_scale
from tpsm_jax.training.setup import make_avd_trainer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkpoint():
    config = tiny_config()
    variables = without(draw_variables(config.model_params), "avd_network")
    return Checkpoint(config, build_model(config.model_params), variables)


def make_trainer(checkpoint, devices=1):
    config, mesh = tiny_config(), make_mesh(jax.devices()[:devices])
    # The last four of 40 steps, of 12 an epoch, are in epoch 3.
    config.train_avd_params.epoch_milestones = (2,)
    return make_avd_trainer(config, mesh, steps_per_epoch=12, variables=checkpoint.variables)


def train(trainer, steps, state=None):
    """State and the metrics of each step, from a state or the first."""
    state, metrics = trainer.create_state() if state is None else state, []
    sharding = batch_sharding(trainer.mesh)
    for step in range(steps):
        batch = tiny_batch(tiny_config(), step)
        batch = {key: jax.device_put(batch[key], sharding) for key in ("source", "driving")}
        state, found = trainer.step(state, batch, step)
        metrics.append(jax.device_get(found))
    return jax.device_get(state), metrics


@pytest.fixture(scope="module")
def trained(checkpoint):
    trainer = make_trainer(checkpoint)
    first = trainer.create_state()
    return trainer, *train(trainer, 40, jax.tree.map(jnp.copy, first)), first


def test_the_loss_falls(trained):
    losses = [metrics["loss"] for metrics in trained[2]]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5])
    assert all(metrics["finite"] for metrics in trained[2])


def test_nothing_but_the_avd_network_changes(trained, checkpoint):
    state = trained[1]
    for network, given in checkpoint.variables["params"].items():
        jax.tree.map(np.testing.assert_array_equal, state.params[network], given)
    for network, given in checkpoint.variables["batch_stats"].items():
        jax.tree.map(np.testing.assert_array_equal, state.batch_stats[network], given)
    assert set(state.params) == {*checkpoint.variables["params"], "avd_network"}
    assert int(state.opt_state["avd"][1].count) == 40


def test_the_optimizers_state_has_the_form_that_earlier_runs_have(checkpoint):
    state = make_trainer(checkpoint).abstract_state()
    optimizer = make_optimizer(weight_decay=0.0)
    expected = jax.eval_shape(optimizer.init, state.params["avd_network"])
    assert jax.tree.structure(state.opt_state["avd"]) == jax.tree.structure(expected)


def test_a_milestone_acts_an_epoch_late_as_in_the_reference(trained):
    """At the beginning of epoch 3, not of 2."""
    rates = [metrics["learning_rate/avd"] for metrics in trained[2]]
    np.testing.assert_allclose(rates, [1e-3] * 36 + [1e-4] * 4, rtol=1e-6)


def test_eight_devices_equal_one(trained, checkpoint):
    runs = (
        train(trained[0], 1, jax.tree.map(jnp.copy, trained[3])),
        train(make_trainer(checkpoint, devices=8), 1),
    )
    states, losses = zip(*runs, strict=True)
    np.testing.assert_allclose(losses[1][0]["loss"], losses[0][0]["loss"], rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        states[0].batch_stats["avd_network"],
        states[1].batch_stats["avd_network"],
    )


def test_the_picture_shows_sources_moved_by_other_samples(trained):
    trainer, state, *_ = trained
    batch = tiny_batch(tiny_config())
    state = jax.device_put(state, trainer.shardings)
    batch = {key: jnp.asarray(batch[key]) for key in ("source", "driving")}
    outputs = jax.device_get(trainer.outputs(state, batch, 3, 0))
    assert outputs["prediction"].shape == (3, 32, 32, 3)
    np.testing.assert_array_equal(
        outputs["driving"], batch["driving"][np.array([2, 0, 1])].astype(np.float32) / 255
    )


def test_scales_are_drawn_for_each_sample_and_axis():
    scale = np.asarray(draw_scale(jax.random.key(0), 2000, 0.25))
    assert scale.shape == (2000, 2)
    assert 0.75 <= scale.min() < 0.76
    assert 1.24 < scale.max() <= 1.25
    assert abs(np.corrcoef(scale.T)[0, 1]) < 0.1


def test_no_average_is_kept_whatever_the_config_says(checkpoint):
    config = tiny_config(ema_decay=0.5, remat=[])
    trainer = make_avd_trainer(
        config, make_mesh(), steps_per_epoch=1, variables=checkpoint.variables
    )
    assert trainer.abstract_state().ema_params is None


def test_a_given_avd_network_is_trained_further(checkpoint):
    other = make_trainer(checkpoint).abstract_state().variables()
    given = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.5, leaf.dtype), other)
    trainer = make_trainer(checkpoint._replace(variables=given), devices=8)
    state = trainer.create_state()
    jax.tree.map(np.testing.assert_array_equal, state.variables(), given)
    assert jax.tree.map(lambda leaf: leaf.sharding, state) == trainer.shardings


def test_given_weights_are_not_compiled_into_the_program_that_draws_the_others(checkpoint):
    trainer = make_trainer(checkpoint)
    assert set(jax.eval_shape(trainer._init, jax.random.key(0)).params) == {"avd_network"}
    constants = jax.make_jaxpr(trainer._init)(jax.random.key(0)).consts
    largest = max(leaf.size for leaf in jax.tree.leaves(checkpoint.variables))
    assert max(np.size(constant) for constant in constants) < largest
