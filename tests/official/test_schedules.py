"""Learning rates and shares of dropout by epoch, against the official loops' own."""

import functools
import importlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import configs
from tests.helpers import golden_training_cases as cases
from tests.helpers.paths import GOLDEN
from tpsm_jax.training import schedule


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
