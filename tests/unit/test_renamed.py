"""Modules that moved: the old names give the same modules, and run the same commands."""

import subprocess
import sys

import pytest

from tests.helpers.paths import ROOT
from tpsm_jax.renamed import RENAMED

COMMANDS = ("tpsm_jax.export", "tpsm_jax.metrics.tables", "tpsm_jax.metrics.user_study")

SAME = """
import sys
import tpsm_jax.export, tpsm_jax.visualize
import tpsm_jax.metrics.tables, tpsm_jax.metrics.user_study.page
import tpsm_jax.animation.export, tpsm_jax.evaluation.keypoint_tables
import tpsm_jax.evaluation.user_study.page, tpsm_jax.media.visualize
from tpsm_jax.visualize import animation_sheet
from tpsm_jax import visualize

assert visualize is tpsm_jax.visualize is tpsm_jax.media.visualize
assert animation_sheet is tpsm_jax.media.visualize.animation_sheet
assert tpsm_jax.export is tpsm_jax.animation.export
assert tpsm_jax.metrics is tpsm_jax.evaluation
assert tpsm_jax.metrics.tables is tpsm_jax.evaluation.keypoint_tables
assert tpsm_jax.metrics.user_study.page is tpsm_jax.evaluation.user_study.page
for name in ("tpsm_jax.media.visualize", "tpsm_jax.evaluation.user_study"):
    assert sys.modules[name].__spec__.name == sys.modules[name].__name__ == name
try:
    import tpsm_jax.metrics.nothing
except ModuleNotFoundError:
    pass
else:
    raise AssertionError("a module that never was")
import tpsm_jax.keypoints, tpsm_jax.pictures, tpsm_jax.video, tpsm_jax.video_writer
import tpsm_jax.metrics.pictures, tpsm_jax.evaluation.frame_metrics
from tpsm_jax.animation import Animator

assert tpsm_jax.metrics.pictures is tpsm_jax.evaluation.frame_metrics
assert Animator is tpsm_jax.Animator
"""


def python(*words):
    command = [sys.executable, "-W", "error", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_an_old_name_gives_the_module_of_the_new_name():
    done = python("-c", SAME)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("old", COMMANDS)
def test_an_old_command_runs(old):
    done = python("-m", old, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    new = next(new + old[len(name) :] for name, new in RENAMED.items() if old.startswith(name))
    assert f"python -m {new}" in done.stdout
