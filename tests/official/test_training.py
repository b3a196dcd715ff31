"""Three steps of training and of its AVD stage, against the official loops' own.

The steps are computed in float64, see golden_training_cases.py; the loss terms also in float32.
"""

import dataclasses
import functools
import importlib
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

import configs
from configs.base import get_base_config
from tests.helpers import golden_training_cases as cases
from tests.helpers.double_precision import double_precision, to_double
from tests.helpers.golden_cases import gradient_samples
from tests.helpers.golden_model import procedural_model
from tests.helpers.paths import GOLDEN
from tests.helpers.procedural import procedural_tensor
from tpsm_jax.backends import thresholds
from tpsm_jax.checkpoints.torch import torch_from_variables, vgg19_from_torch
from tpsm_jax.checkpoints.torch.keys import vgg19_leaves
from tpsm_jax.ops.coordinates import coordinate_grid
from tpsm_jax.ops.thin_plate_spline import ThinPlateSpline
from tpsm_jax.parallel.sharding import make_mesh
from tpsm_jax.training import schedule
from tpsm_jax.training import step as training_step
from tpsm_jax.training.losses import make_features
from tpsm_jax.training.recipes.tpsm import LossDraws, LossSettings, tpsm_losses
from tpsm_jax.training.setup import make_avd_trainer, make_model_trainer

# Of each value; of the largest entry; of each norm, and of the largest entry for samples. In
# float64 all of them agree to about 1e-10 here; the rest is room for other processors.
LOSSES, STATISTICS, TENSORS = 1e-5, 1e-5, 1e-5
# Of the typical tensor's norm: what rounding may leave of a tensor that has no gradient.
ROUNDING = 1e-7
OPTIMIZERS = {
    "learning_rate/generator": "rates/optimizer",
    "learning_rate/bg_predictor": "rates/optimizer_bg_predictor",
    "learning_rate/avd": "rates/optimizer_avd",
}
TRAJECTORIES = (*cases.TRAJECTORIES, "avd")
STEPS = 3


def make_config(case):
    config = get_base_config()
    config.model_params = ConfigDict(case.model_params)
    config.image_size = (cases.SIZE, cases.SIZE)
    config.compute_dtype = "float64"
    config.train_params = ConfigDict(cases.train_params(case))
    return config


@functools.cache
def vgg19():
    tensors = {
        leaf.key: procedural_tensor(f"vgg19.{leaf.key}", leaf.shape, cases.VGG19_SEED)
        for leaf in vgg19_leaves()
    }
    return vgg19_from_torch(tensors)


def make_draws(given, dtype):
    """The `LossDraws` of a case's step."""
    grid = coordinate_grid(cases.POINTS_TPS, cases.POINTS_TPS).reshape(1, -1, 2)
    transform = ThinPlateSpline(
        jnp.repeat(jnp.asarray(grid, dtype), cases.BATCH, axis=0),
        jnp.asarray(given.spline_weights, dtype),
        jnp.eye(2, 3, dtype=dtype)[None] + jnp.asarray(given.affine_noise, dtype),
    )
    return LossDraws(transform, None if given.kept_tps is None else jnp.asarray(given.kept_tps))


def without(variables, network):
    return {
        collection: {name: tree for name, tree in networks.items() if name != network}
        for collection, networks in variables.items()
    }


class Trajectory(NamedTuple):
    """What steps did, in the form of the golden files; tensors are called "network.key".

    Attributes:
      metrics: metrics of each step.
      tables: "gradient_0" ..., "update", "mean" and "square" -> tensor -> (norm, samples).
      counts: network -> steps of its optimizer.
      statistics: running mean or variance -> array.
    """

    metrics: list
    tables: dict
    counts: dict
    statistics: dict


def follow(step, before, model_params):
    """Takes three steps.

    Args:
      step: state and number of the step -> state, metrics and unscaled gradients.
      before: the state before the first.
      model_params: for the tensors' names.
    """
    statistics = jax.device_get(before.batch_stats)

    def named(params):
        """Torch's names and layout, of these parameters and of the latest statistics."""
        networks = torch_from_variables(
            {"params": jax.device_get(params), "batch_stats": statistics}, model_params
        )
        return {f"{name}.{key}": a for name, state in networks.items() for key, a in state.items()}

    def table(params):
        arrays = named(params).items()
        return {name: (np.linalg.norm(a), gradient_samples(a)) for name, a in arrays}

    state, metrics, tables = before, [], {}
    for number in range(STEPS):
        state, found, gradients = step(state, number)
        metrics.append(jax.device_get(found))
        tables[f"gradient_{number}"] = table(gradients)
    statistics = jax.device_get(state.batch_stats)
    pair = jax.device_get((state.params, before.params))
    tables["update"] = table(jax.tree.map(np.subtract, *pair))
    mean, square, counts = {}, {}, {}
    for optimizer, optimizer_state in state.opt_state.items():
        moments = {kind: optax.tree.get(optimizer_state, kind) for kind in ("mu", "nu", "count")}
        if optimizer == "avd":
            moments = {kind: {"avd_network": value} for kind, value in moments.items()}
        mean |= moments["mu"]
        square |= moments["nu"]
        counts |= dict.fromkeys(moments["mu"], max(jax.tree.leaves(moments["count"])))
    tables |= {"mean": table(mean), "square": table(square)}
    running = {name: array for name, array in named(state.params).items() if "running_" in name}
    return Trajectory(metrics, tables, counts, running)


def with_given_draws(trainer):
    """`train_step` without augmentation, its random numbers given; returns the gradients too.

    Those are what it hands to `largest_entries`: not bounded yet.
    """

    def step(state, source, driving, draws, constants, phase):
        recipe = dataclasses.replace(
            trainer.recipe,
            augment=lambda rng, batch: batch,
            draw=lambda rng, step, phase: draws,
        )
        seen = []
        largest_entries = training_step.largest_entries

        def look(gradients):
            seen.append(gradients)
            return largest_entries(gradients)

        batch = {"source": source, "driving": driving}
        with mock.patch.object(training_step, "largest_entries", look):
            state, metrics = training_step.train_step(
                state, batch, constants, recipe=recipe, phase=phase, mesh=trainer.mesh
            )
        return state, metrics, seen[0]

    jitted, compiled = jax.jit(step, static_argnames="phase"), {}

    def compiled_once(*arguments, phase):
        # jax.jit would compile the second step again: the first returns its state on a mesh.
        if phase not in compiled:
            compiled[phase] = jitted.lower(*arguments, phase=phase).compile()
        return compiled[phase](*arguments)

    return compiled_once


def train(names):
    """Trajectories of cases that differ in epoch and inputs alone, with one trainer."""
    case = cases.CASES[names[0]]
    given = {name: procedural_model(case.model_params, cases.CASES[name].seed)[1] for name in names}
    vgg = vgg19()
    with double_precision():
        vgg = to_double(vgg)
        mesh = make_mesh(jax.devices()[:1])
        config = make_config(case)
        trainer = make_model_trainer(config, mesh, steps_per_epoch=1, vgg19=vgg)
        update = with_given_draws(trainer)

        def step(case, state, number):
            inputs = cases.inputs(case, number)
            pictures = to_double((inputs.source, inputs.driving))
            phase = schedule.phase_of(config, case.first_epoch + number)
            return update(state, *pictures, make_draws(inputs, jnp.float64), vgg, phase=phase)

        trajectories = {}
        for name in names:
            case = cases.CASES[name]
            before = to_double(trainer.abstract_state()).replace(
                step=jnp.int32(case.first_epoch),
                **to_double(without(given[name], "avd_network")),
            )
            trajectories[name] = follow(functools.partial(step, case), before, case.model_params)
        return trajectories


def train_avd():
    config, params = get_base_config(), cases.AVD_MODEL_PARAMS
    config.model_params, config.train_avd_params = params, cases.train_avd_params()
    config.image_size = (cases.AVD_SIZE, cases.AVD_SIZE)
    config.compute_dtype = "float64"
    _, variables = procedural_model(params, cases.AVD_SEED)
    with double_precision():
        variables = to_double(variables)
        mesh = make_mesh(jax.devices()[:1])
        trainer = make_avd_trainer(config, mesh, steps_per_epoch=1, variables=variables)
        update = with_given_draws(trainer)

        def step(state, number):
            source, driving, drawn = to_double(cases.avd_inputs(number))
            extent = cases.train_avd_params()["random_scale"]
            scale = drawn * (2 * extent) + (1 - extent)
            return update(state, source, driving, scale, None, phase=None)

        before = to_double(trainer.abstract_state()).replace(**variables)
        return follow(step, before, params)


@functools.cache
def trajectory(name):
    if name == "avd":
        return train_avd()
    if name == "late":
        # Its small pictures take the ways that large ones take on a CPU.
        with mock.patch.multiple(thresholds, LARGE_PICTURE=0, LARGE_KERNEL=0):
            return train(["late"])[name]
    return with_background()[name]


@functools.cache
def with_background():
    return train(["full", "early"])


@pytest.fixture(params=TRAJECTORIES)
def both(request):
    """Our trajectory and the official one."""
    golden = np.load(GOLDEN / f"training_{request.param}.npz")
    return trajectory(request.param), golden


def assert_tables_close(kind, ours, golden):
    """Norms and samples of every tensor; where there is no gradient but rounding, a bound."""
    columns = [golden[f"{kind}/{column}"] for column in ("norm", "largest", "samples")]
    bound = ROUNDING * np.median(columns[0])
    # Decay of the weights moves those, too, and is compared like any other update.
    is_rounding = ~golden["has_gradient"] & (columns[0] < bound)
    for name, none, norm, largest, samples in zip(
        golden["names"], is_rounding, *columns, strict=True
    ):
        our_norm, our_samples = ours.tables[kind][str(name)]
        if none:
            assert our_norm < bound, (kind, name)
            continue
        assert abs(our_norm - norm) <= TENSORS * norm, (kind, name, our_norm, norm)
        distance = np.abs(our_samples - samples).max()
        assert distance <= TENSORS * largest, (kind, name, distance / largest)


@pytest.mark.slow
def test_losses(both):
    ours, golden = both
    terms = [key for key in golden.files if key.startswith("losses/")]
    for number, metrics in enumerate(ours.metrics):
        expected = {key: golden[key][number] for key in terms if golden[key][number]}
        assert {key.replace("loss/", "losses/") for key in metrics if "loss/" in key} == set(
            expected
        )
        for key, value in expected.items():
            actual = metrics[key.replace("losses/", "loss/")]
            np.testing.assert_allclose(actual, value, rtol=LOSSES, err_msg=key)
        np.testing.assert_allclose(metrics["loss"], sum(expected.values()), rtol=LOSSES)


@pytest.mark.slow
def test_learning_rates(both):
    ours, golden = both
    for number, metrics in enumerate(ours.metrics):
        for key in [key for key in metrics if key.startswith("learning_rate/")]:
            expected = golden[OPTIMIZERS[key]][number]
            np.testing.assert_allclose(metrics[key], expected, rtol=1e-6, err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [f"gradient_{number}" for number in range(STEPS)])
def test_gradients(both, kind):
    ours, golden = both
    assert_tables_close(kind, ours, golden)
    number = int(kind[-1])
    for key in [key for key in ours.metrics[number] if key.startswith("gradient/")]:
        of_network = np.char.startswith(golden["names"], key.removeprefix("gradient/"))
        largest = golden[f"{kind}/largest"][of_network].max()
        np.testing.assert_allclose(ours.metrics[number][key], largest, rtol=TENSORS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["update", "mean", "square"])
def test_parameters_and_moments_after_three_steps(both, kind):
    assert_tables_close(kind, *both)


@pytest.mark.slow
def test_optimizers_count_their_own_steps(both):
    ours, golden = both
    for name, count in zip(golden["names"], golden["count"], strict=True):
        assert ours.counts[str(name).partition(".")[0]] == count, name


@pytest.mark.slow
def test_statistics_after_three_steps(both):
    ours, golden = both
    keys = [key for key in golden.files if key.startswith("statistics/")]
    assert len(keys) >= 18
    for key in keys:
        expected = golden[key]
        distance = np.abs(ours.statistics[key.removeprefix("statistics/")] - expected).max()
        assert distance <= STATISTICS * np.abs(expected).max(), (key, distance)


def test_the_cases_reach_what_they_are_for():
    full, early, late = (np.load(GOLDEN / f"training_{name}.npz") for name in cases.TRAJECTORIES)
    for network in ("kp_detector", "dense_motion_network", "inpainting_network", "bg_predictor"):
        of_network = np.char.startswith(full["names"], network)
        assert full["gradient_0/largest"][of_network].max() > 10, network
    background = np.char.startswith(early["names"], "bg_predictor")
    assert set(early["count"][background]) == {1}
    assert set(early["count"][~background]) == {STEPS}
    np.testing.assert_allclose(early["rates/optimizer_bg_predictor"], [2e-4, 2e-5, 2e-5])
    np.testing.assert_allclose(late["rates/optimizer"], [2e-4, 2e-5, 2e-5])
    for golden in (full, early, late):
        assert np.mean(golden["has_gradient"]) > 0.8
        # Rounding cannot be what decides: pictures moved by 1e-12 move nothing visibly.
        assert all(golden[key] < TENSORS for key in golden.files if key.startswith("noise/"))


@pytest.mark.slow
def test_losses_and_statistics_in_float32():
    case = cases.CASES["losses"]
    golden = np.load(GOLDEN / "training_losses.npz")
    model, variables = procedural_model(case.model_params, case.seed)
    inputs = cases.inputs(case, 0)
    features = functools.partial(make_features("vgg19"), vgg19())

    def losses(variables, source, driving, draws):
        settings = LossSettings.of(cases.train_params(case))
        batch = {"source": source, "driving": driving}
        terms, _, statistics = tpsm_losses(
            model, variables, batch, draws, settings, features, background=True
        )
        return terms, statistics

    arguments = (
        without(variables, "avd_network"),
        inputs.source,
        inputs.driving,
        make_draws(inputs, jnp.float32),
    )
    terms, statistics = jax.jit(losses)(*arguments)
    assert set(terms) == {"perceptual", "equivariance_value", "warp_loss", "bg"}
    for name, value in terms.items():
        np.testing.assert_allclose(value, golden[f"losses/{name}"], rtol=LOSSES, err_msg=name)
    networks = torch_from_variables(
        {"params": arguments[0]["params"], "batch_stats": statistics}, case.model_params
    )
    keys = [key for key in golden.files if key.startswith("statistics/")]
    assert len(keys) == 80
    for key in keys:
        network, _, tensor = key.removeprefix("statistics/").partition(".")
        distance = np.abs(networks[network][tensor] - golden[key]).max()
        assert distance <= STATISTICS * np.abs(golden[key]).max(), (key, distance)


@pytest.fixture(scope="module")
def schedules():
    return np.load(GOLDEN / "training_schedules.npz")


def get_config(name):
    (path,) = Path(configs.__path__[0]).glob(f"{name}[0-9]*.py")
    return importlib.import_module(f"configs.{path.stem}").get_config()


@pytest.mark.parametrize("name", cases.CONFIGS)
def test_dropout_by_epoch(schedules, name):
    config = get_config(name)
    for epoch, expected in enumerate(schedules[f"dropout/{name}"]):
        assert schedule.phase_of(config, epoch).dropout == (expected >= 0), epoch
        if expected >= 0:
            share = schedule.dropout_probability(config.train_params, jnp.int32(epoch))
            np.testing.assert_allclose(share, expected, rtol=1e-6, err_msg=str(epoch))


@pytest.mark.parametrize("name", cases.CONFIGS)
def test_learning_rate_by_epoch(schedules, name):
    params, expected = get_config(name).train_params, schedules["rate/train"]
    rate = functools.partial(schedule.learning_rate, params.lr_generator, params.epoch_milestones)
    rates = jax.vmap(rate)(jnp.arange(len(expected)))
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


@pytest.mark.parametrize("name", cases.AVD_MILESTONES)
def test_learning_rate_of_avd_falls_an_epoch_late(schedules, name):
    params, expected = get_config(name).train_avd_params, schedules[f"rate/avd/{name}"]
    assert tuple(params.epoch_milestones) == cases.AVD_MILESTONES[name]
    rate = functools.partial(schedule.learning_rate, params.lr, params.epoch_milestones)
    rates = jax.vmap(rate)(jnp.arange(len(expected)) - 1)
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
