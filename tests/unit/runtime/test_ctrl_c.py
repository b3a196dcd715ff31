"""Ctrl-C while a script imports its modules ends it at once, by the signal and without a word."""

import os
import signal

import pytest

from tests.helpers.processes import output_of, start_python
from tests.helpers.waiting import wait_until

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
    wait_until((tmp_path / "importing").exists)
    os.kill(process.pid, signal.SIGINT)
    assert output_of(process) == ""
    assert process.returncode == -signal.SIGINT


def test_ctrl_c_before_training(tmp_path):
    """In code that swallows a `KeyboardInterrupt`, here the config's."""
    (tmp_path / "config.py").write_text(ENDLESS.format(mark=str(tmp_path / "reading")))
    config, workdir = str(tmp_path / "config.py"), tmp_path / "run"
    process = start_python("train.py", "--config", config, "--workdir", str(workdir))
    wait_until((tmp_path / "reading").exists)
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
    wait_until(lambda: list(tmp_path.glob("data/.clips.*/train/*")))
    os.kill(process.pid, signal.SIGINT)
    assert "interrupted; nothing was left half-written" in output_of(process)
    assert process.returncode == 128 + signal.SIGINT
    assert list((tmp_path / "data").iterdir()) == []
    assert not (tmp_path / "run").exists()
