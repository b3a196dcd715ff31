"""A small checkpoint, what it is made of, and a training run."""

import functools
import shutil

import pytest
from ml_collections import ConfigDict

from tests.helpers.checkpoint_runs import run
from tests.helpers.made_once import made_once
from tests.helpers.small import model_params, small_model
from tpsm_jax.checkpoints.converted import save_checkpoint


@pytest.fixture(scope="module")
def variables():
    return small_model()[1]


@pytest.fixture
def config():
    return ConfigDict({"image_size": (64, 64), "model_params": model_params(), "lr": 2e-4})


@pytest.fixture(scope="module")
def saved(tmp_path_factory, variables):
    folder = tmp_path_factory.mktemp("saved") / "checkpoint"
    save_checkpoint(folder, variables, {"model_params": model_params()})
    return folder


@pytest.fixture
def folder(tmp_path, saved):
    """A copy that may be harmed."""
    return shutil.copytree(saved, tmp_path / "checkpoint")


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Eight steps, with checkpoints of 4 and 8."""
    return made_once(tmp_path_factory, "trained", functools.partial(run, total_steps=8))


@pytest.fixture
def workdir(tmp_path, trained):
    """A copy that may be harmed."""
    return shutil.copytree(trained, tmp_path / "run")
