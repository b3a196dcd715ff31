"""Ctrl-C while a script imports its modules ends it at once, by the signal and without a word."""

import os
import signal

import pytest

from tests.helpers.processes import output_of, start_python, wait_for

# In place of a module whose import takes seconds.
ENDLESS = """
import pathlib, time
pathlib.Path({mark!r}).touch()
while True:
    try:
        time.sleep(1)
    except KeyboardInterrupt:  # as modules written in C do
        pass
"""

# Python drops what a signal's handler raises in there.
DROPPED = """
import os, signal, time
from tpsm_jax.cli import run_script

class Last:
    def __del__(self):
        os.kill(os.getpid(), {number})

def main():
    Last()
    time.sleep(600)

run_script(main)
"""


@pytest.mark.parametrize(
    "script",
    [
        ["animate.py"],
        ["eval.py"],
        ["train.py"],
        ["convert_torch_weights.py"],
        ["demo.py"],
        ["-m", "tpsm_jax.animation.export"],
    ],
    ids=lambda script: script[-1],
)
def test_ctrl_c_during_imports(script, tmp_path):
    (tmp_path / "jax.py").write_text(ENDLESS.format(mark=str(tmp_path / "importing")))
    process = start_python(*script, PYTHONPATH=str(tmp_path))
    wait_for((tmp_path / "importing").exists, process)
    os.kill(process.pid, signal.SIGINT)
    assert output_of(process) == ""
    assert process.returncode == -signal.SIGINT


def test_ctrl_c_before_training(tmp_path):
    """In code that swallows a `KeyboardInterrupt`, here the config's."""
    (tmp_path / "config.py").write_text(ENDLESS.format(mark=str(tmp_path / "reading")))
    config, workdir = str(tmp_path / "config.py"), tmp_path / "run"
    process = start_python("train.py", "--config", config, "--workdir", str(workdir))
    wait_for((tmp_path / "reading").exists, process)
    os.kill(process.pid, signal.SIGINT)
    assert output_of(process) == ""
    assert process.returncode == -signal.SIGINT
    assert not workdir.exists()


def test_ctrl_c_while_clips_are_drawn(tmp_path):
    """The hidden folder that they are drawn into is removed."""
    clips = tmp_path / "data" / "clips"
    process = start_python(
        "train.py", "--config", "configs/puppets64.py", "--workdir", str(tmp_path / "run"),
        f"--config.dataset.path={clips}", "--config.dataset_params.puppets.clips=100000",
    )  # fmt: skip
    wait_for(lambda: list(tmp_path.glob("data/.clips.*/train/*")), process)
    os.kill(process.pid, signal.SIGINT)
    assert "interrupted; nothing was left half-written" in output_of(process)
    assert process.returncode == 128 + signal.SIGINT
    assert list((tmp_path / "data").iterdir()) == []
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_that_python_drops_is_sent_again(number, code):
    process = start_python("-W", "error", "-c", DROPPED.format(number=int(number)))
    assert "Traceback" not in output_of(process)
    assert process.returncode == code


def test_other_errors_that_python_drops_are_told():
    code = DROPPED.replace("os.kill(os.getpid(), {number})", "1 / 0").replace("(600)", "(0)")
    assert "ZeroDivisionError" in output_of(start_python("-c", code))
