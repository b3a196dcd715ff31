"""Reading a run's checkpoints for evaluation and animation."""

import json
import shutil

import jax
import numpy as np
import pytest

from tests.helpers.small import model_params, small_model
from tpsm_jax.checkpoints.converted import load_checkpoint, save_checkpoint
from tpsm_jax.checkpoints.run import Checkpoints, Progress
from tpsm_jax.errors import InputError
from tpsm_jax.training.state import TrainState

pytestmark = pytest.mark.slow  # Orbax


@pytest.fixture(scope="module")
def model_run(tmp_path_factory):
    """A workdir with two steps of a real model, averaged; and the states."""
    folder = tmp_path_factory.mktemp("model")
    variables = small_model()[1]
    states = {}
    with Checkpoints(folder, keep=2) as checkpoints:
        for step in (1, 2):
            params = jax.tree.map(lambda leaf, step=step: leaf * step, variables["params"])
            states[step] = TrainState(
                step=np.int32(step),
                params=params,
                batch_stats=variables["batch_stats"],
                opt_state={"generator": np.zeros(3, np.float32)},
                ema_params=jax.tree.map(lambda leaf: leaf + 1, params),
            )
            checkpoints.save(jax.device_put(states[step]), Progress(step), float(step))
    (folder / "config.json").write_text(
        json.dumps({"image_size": [64, 64], "model_params": model_params()})
    )
    return folder, states


def assert_variables(found, params, batch_stats):
    jax.tree.map(
        np.testing.assert_array_equal, found, {"params": params, "batch_stats": batch_stats}
    )


def test_a_workdir_is_a_checkpoint(model_run):
    folder, states = model_run
    loaded = load_checkpoint(folder)
    assert loaded.config.image_size == (64, 64) or list(loaded.config.image_size) == [64, 64]
    assert_variables(loaded.variables, states[2].ema_params, states[2].batch_stats)


@pytest.mark.parametrize("step", [1, 2])
def test_a_step_and_the_trained_parameters_may_be_chosen(model_run, step):
    folder, states = model_run
    loaded = load_checkpoint(folder, step=step, ema=False)
    assert_variables(loaded.variables, states[step].params, states[step].batch_stats)


@pytest.mark.parametrize(("name", "step"), [("1", 1), ("latest", 2), ("best", 1)])
def test_a_step_may_be_chosen_by_its_name(model_run, name, step):
    folder, states = model_run
    loaded = load_checkpoint(folder, step=name)
    assert_variables(loaded.variables, states[step].ema_params, states[step].batch_stats)


def test_a_step_that_is_not_there(model_run, tmp_path):
    with pytest.raises(InputError, match="no checkpoint of step 3, only of 1, 2"):
        load_checkpoint(model_run[0], step=3)
    save_checkpoint(tmp_path / "converted", small_model()[1], {"model_params": model_params()})
    with pytest.raises(InputError, match="no training run"):
        load_checkpoint(tmp_path / "converted", step=3)


def test_a_step_without_its_variables(model_run, tmp_path):
    folder = shutil.copytree(model_run[0], tmp_path / "run")
    place = folder / "checkpoints" / "2" / "variables"
    shutil.rmtree(place)
    with pytest.raises(InputError) as error:
        load_checkpoint(folder)
    assert str(error.value).startswith(f"{place} is damaged (")


def test_a_run_that_has_saved_nothing_yet(tmp_path):
    (tmp_path / "checkpoints" / "3.orbax-checkpoint-tmp").mkdir(parents=True)
    (tmp_path / "config.json").write_text(json.dumps({"model_params": model_params()}))
    with pytest.raises(InputError, match="has not saved a checkpoint yet"):
        load_checkpoint(tmp_path)
