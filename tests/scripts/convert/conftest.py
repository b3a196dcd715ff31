"""What is converted."""

import pytest

from tests.helpers.convert_script import write_config
from tests.helpers.made_once import made_once
from tests.helpers.small import draw_variables, official_params
from tests.helpers.vgg19_weights import vgg19_checkpoint
from tpsm_jax.checkpoints.torch import torch_from_variables, write_torch_file


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A folder with a small config, checkpoint.pth.tar, and weights of VGG-19; never changed."""
    return made_once(tmp_path_factory, "convert-files", write_files)


def write_files(folder):
    write_config(folder / "config.py", official_params())
    checkpoint = torch_from_variables(draw_variables(official_params()), official_params())
    write_torch_file(folder / "checkpoint.pth.tar", {**checkpoint, "epoch": 99})
    write_torch_file(folder / "vgg19.pth", vgg19_checkpoint())
