"""Three steps of training and of its AVD stage in float64, in the form of the golden files.

See golden_training_cases.py for why in float64.
"""

import dataclasses
import functools
from typing import NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from configs.base import get_base_config
from tests.helpers import golden_training_cases as cases
from tests.helpers.double_precision import double_precision, to_double
from tests.helpers.golden_cases import gradient_samples
from tests.helpers.golden_model import procedural_model
from tests.helpers.procedural import procedural_tensor
from tests.helpers.small import without
from tpsm_jax.backends import thresholds
from tpsm_jax.checkpoints.torch import torch_from_variables, vgg19_from_torch
from tpsm_jax.checkpoints.torch.keys import vgg19_leaves
from tpsm_jax.ops.coordinates import coordinate_grid
from tpsm_jax.ops.thin_plate_spline import ThinPlateSpline
from tpsm_jax.parallel.sharding import make_mesh
from tpsm_jax.training import schedule
from tpsm_jax.training import step as training_step
from tpsm_jax.training.recipes.tpsm import LossDraws
from tpsm_jax.training.setup import make_avd_trainer, make_model_trainer

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


def train(name):
    case = cases.CASES[name]
    _, variables = procedural_model(case.model_params, case.seed)
    vgg = vgg19()
    with double_precision():
        vgg = to_double(vgg)
        mesh = make_mesh(jax.devices()[:1])
        config = make_config(case)
        trainer = make_model_trainer(config, mesh, steps_per_epoch=1, vgg19=vgg)
        update = with_given_draws(trainer)

        def step(state, number):
            inputs = cases.inputs(case, number)
            pictures = to_double((inputs.source, inputs.driving))
            phase = schedule.phase_of(config, case.first_epoch + number)
            return update(state, *pictures, make_draws(inputs, jnp.float64), vgg, phase=phase)

        before = to_double(trainer.abstract_state()).replace(
            step=jnp.int32(case.first_epoch),
            **to_double(without(variables, "avd_network")),
        )
        return follow(step, before, case.model_params)


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
            return train(name)
    return train(name)
