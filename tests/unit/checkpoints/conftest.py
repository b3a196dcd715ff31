"""A small checkpoint, and what it is made of."""

import shutil

import pytest
from ml_collections import ConfigDict

from tests.helpers.small import model_params, small_model
from tpsm_jax.checkpoints.converted import save_checkpoint


@pytest.fixture(scope="module")
def variables():
    return small_model()[1]


@pytest.fixture
def config():
    return ConfigDict({"image_size": (128, 128), "model_params": model_params(), "lr": 2e-4})


@pytest.fixture(scope="module")
def saved(tmp_path_factory, variables):
    folder = tmp_path_factory.mktemp("saved") / "checkpoint"
    save_checkpoint(folder, variables, {"model_params": model_params()})
    return folder


@pytest.fixture
def folder(tmp_path, saved):
    """A copy that may be harmed."""
    return shutil.copytree(saved, tmp_path / "checkpoint")
