"""The whole step in float64 on one device and on eight: equal results, and few collectives."""

import functools
from collections import Counter
from typing import Any, NamedTuple
from unittest import mock

import jax
import numpy as np
import pytest

from benchmarks.studies.collectives import collectives
from tests.helpers.double_precision import double_precision, to_double
from tests.helpers.small import draw_variables
from tests.helpers.tiny_training import tiny_batch, tiny_config
from tpsm_jax.parallel.sharding import batch_sharding, make_mesh
from tpsm_jax.training.schedule import Phase
from tpsm_jax.training.setup import make_model_trainer
from tpsm_jax.training.trainer import Trainer

pytestmark = pytest.mark.slow
ALL = Phase(background=True, dropout=True)


class Stepped(NamedTuple):
    """One step of training: by whom, after it, and as it was compiled."""

    trainer: Trainer
    state: Any
    metrics: dict[str, Any]
    program: jax.stages.Compiled
    leaves_cut: int


def double_step(count, **fields):
    """Takes a step on the first `count` devices, in float64.

    In float32 a relu that changes side by rounding moves the detector's gradient by 1e-3.
    """
    given = first_variables()
    with double_precision():
        mesh = make_mesh(jax.devices()[:count])
        config = tiny_config(compute_dtype="float64", **fields)
        trainer = make_model_trainer(config, mesh, steps_per_epoch=100)
        batch = tiny_batch(tiny_config())
        batch = {key: batch[key] for key in ("source", "driving")}
        state = to_double(trainer.abstract_state()).replace(**to_double(given))
        arguments = (
            jax.device_put(state, trainer.shardings),
            jax.device_put(batch, batch_sharding(mesh)),
            None,
        )
        step = trainer._step.lower(*arguments, ALL).compile()
        state, metrics = step(*arguments)
        leaves_cut = sum(not leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(state))
        state, metrics = jax.device_get((state, metrics))
        return Stepped(trainer, state, metrics, step, leaves_cut)


@functools.cache
def first_variables():
    """Drawn by NumPy, since compiling the real initializers takes a while."""
    variables = draw_variables(tiny_config().model_params)
    for networks in variables.values():
        networks.pop("avd_network", None)
    return variables


def assert_same_step(actual, expected):
    """All metrics, parameters, statistics and moments, but for the rounding of float64."""
    assert actual.metrics.keys() == expected.metrics.keys()
    for name, value in actual.metrics.items():
        np.testing.assert_allclose(value, expected.metrics[name], rtol=1e-9, err_msg=name)
    pairs = zip(
        jax.tree.leaves_with_path(actual.state), jax.tree.leaves(expected.state), strict=True
    )
    for (path, a), b in pairs:
        name = jax.tree_util.keystr(path)
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9, err_msg=name)


@pytest.fixture(scope="module")
def one():
    return double_step(1)


@pytest.fixture(scope="module")
def cut():
    """With every parameter but the smallest cut among eight devices."""
    with mock.patch("tpsm_jax.parallel.sharding._SMALLEST_SHARDED", 64):
        return double_step(8, state_sharding="fsdp")


@pytest.fixture(scope="module")
def eight():
    return double_step(8)


def test_eight_devices_equal_one(one, eight):
    assert_same_step(eight, one)


def test_a_state_cut_among_eight_devices_equals_one(one, cut):
    assert cut.leaves_cut > 50
    assert_same_step(cut, one)


def test_only_gradients_and_statistics_are_exchanged(eight):
    program, state = eight.program.as_text(), eight.trainer.abstract_state()
    # So small convolutions are XLA's in float64 too, as in training.
    assert program.count(" convolution(") > 50
    found = collectives(program)
    assert {collective.kind for collective in found} == {"all-reduce"}
    # What is larger than statistics are has a parameter's size: no share of a feature map or of the
    # batch. On a CPU XLA sums the gradient of each pass through a network for itself.
    sizes = Counter(int(np.prod(collective.shape)) for collective in found)
    parameters = Counter(leaf.size for leaf in jax.tree.leaves(state.params))
    statistic = max(leaf.size for leaf in jax.tree.leaves(state.batch_stats))
    assert not {size for size in sizes if size > statistic} - parameters.keys()
    assert sum((sizes & parameters).values()) >= 0.9 * sum(parameters.values())
    passes = {"kp_detector": 3, "bg_predictor": 2}
    needed = sum(
        passes.get(network, 1) * leaf.size
        for network, tree in state.params.items()
        for leaf in jax.tree.leaves(tree)
    )
    sent = sum(size * count for size, count in sizes.items())
    assert 0.5 * needed < sent < 1.5 * needed


def test_a_cut_state_is_put_together_once(cut):
    state, found = cut.trainer.abstract_state(), collectives(cut.program.as_text())
    assert {collective.kind for collective in found} == {"all-reduce", "all-gather"}
    gathered = Counter(one.shape for one in found if one.kind == "all-gather")
    expected = Counter(
        leaf.shape
        for leaf in jax.tree.leaves((state.params, state.batch_stats))
        if not leaf.sharding.is_fully_replicated
    )
    assert gathered == expected


def test_what_the_state_says(one):
    state, metrics = one.state, one.metrics
    assert int(state.step) == 1
    assert state.ema_params is None
    assert metrics["finite"] == 1
    terms = ("perceptual", "equivariance_value", "warp_loss", "bg")
    np.testing.assert_allclose(
        metrics["loss"], sum(metrics[f"loss/{name}"] for name in terms), rtol=1e-6
    )
    counts = [int(state.opt_state[name][1].count) for name in ("generator", "bg_predictor")]
    assert counts == [1, 1]
