"""Animation and evaluation of a checkpoint folder do without Orbax, half a second to import."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from tests.helpers.converted_folders import write_older
from tests.helpers.paths import ROOT
from tests.helpers.processes import STRICT
from tests.helpers.small import model_params, pictures, small_model
from tpsm_jax.checkpoints.converted import save_checkpoint

pytestmark = pytest.mark.slow

ASSERT = """
import sys
found = sorted(name for name in sys.modules if name.partition(".")[0] in ("orbax", "tensorstore"))
assert not found, found[:5]
"""
ANIMATE = """
import runpy
sys.argv = ["animate.py", *sys.argv[1:]]
try:
    runpy.run_path("animate.py", run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
"""
LOAD = """
import tpsm_jax
import eval, tpsm_jax.animation.export
from tpsm_jax.checkpoints.vgg19 import load_vgg19
from tpsm_jax.evaluation.checkpoints import choose_checkpoints
from tpsm_jax.evaluation.run import load_checkpoints

tpsm_jax.Animator, tpsm_jax.load(sys.argv[1]), load_vgg19(sys.argv[1])
load_checkpoints(choose_checkpoints([sys.argv[1]]))
"""


def run(code, *arguments):
    command = [sys.executable, *STRICT, "-c", "import sys\n" + code + ASSERT, *map(str, arguments)]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs") / "checkpoint"
    config = ConfigDict({"image_size": (64, 64), "model_params": model_params()})
    vgg19 = {"params": {"features_0": {"bias": np.zeros(4, np.float32)}}}
    save_checkpoint(folder, small_model()[1], config, vgg19=vgg19)
    return folder


def test_animate(tmp_path, checkpoint):
    (tmp_path / "frames").mkdir()
    for name, frame in zip(("source", "frames/0", "frames/1"), pictures(3, 64, 64), strict=True):
        Image.fromarray((frame * 255).astype(np.uint8)).save(tmp_path / f"{name}.png")
    flags = {
        "checkpoint": checkpoint, "source": tmp_path / "source.png",
        "driving": tmp_path / "frames", "output": f"{tmp_path / 'out'}/",
    }  # fmt: skip
    done = run(ANIMATE, *(word for name, value in flags.items() for word in (f"--{name}", value)))
    assert done.returncode == 0, done.stderr
    assert len(os.listdir(tmp_path / "out")) == 2


def test_load(checkpoint):
    done = run(LOAD, checkpoint)
    assert done.returncode == 0, done.stderr


def test_an_older_checkpoint_needs_it(tmp_path):
    config = {"image_size": [64, 64], "model_params": model_params()}
    older = write_older(tmp_path / "older", jax.device_get(small_model()[1]), config)
    done = run("import tpsm_jax; tpsm_jax.load(sys.argv[1])", older)
    assert "AssertionError: ['orbax'" in done.stderr
