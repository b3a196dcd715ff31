"""The log of the loop: metrics.jsonl, pictures and TensorBoard."""

import os
import sys
import time

import jax
import numpy as np
import pytest
from PIL import Image

from tests.helpers.fake_trainer import (
    BATCH,
    evaluation,
    lines,
    losses,
)
from tests.helpers.loop_runs import run
from tpsm_jax.checkpoints.run import Progress
from tpsm_jax.errors import InputError
from tpsm_jax.training.log import Log
from tpsm_jax.training.pending_metrics import PendingMetrics


def test_what_a_line_holds(tmp_path):
    run(tmp_path, options=(("steps_per_epoch", 5),), total_steps=7)
    assert [line["epoch"] for line in lines(tmp_path)] == [0, 0, 0, 0, 0, 1, 1]
    line = lines(tmp_path)[-1]
    assert list(line)[:3] == ["step", "epoch", "loss"]
    assert line["loss"] == line["loss/fit"]
    assert line["gradient/network"] > 0
    assert line["learning_rate/network"] == pytest.approx(0.05)
    assert line["samples_per_second"] == pytest.approx(BATCH * line["steps_per_second"])
    assert 0 <= line["data_wait_share"] <= 1
    assert line["nonfinite_steps"] == 0


def test_speed_and_waiting_are_of_the_steps_since_the_line_before(tmp_path, monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    with Log(tmp_path, start=0, total=9, batch_size=10) as log:
        for step in (1, 2, 3):
            with log.waiting():
                now += 0.5
            now += 1.5
            log.advance()
            if step > 1:
                log.write(step, 0, {"loss": 1.0}, 0)
    for line, steps in zip(lines(tmp_path), (2, 1), strict=True):
        assert line["steps_per_second"] == steps / (2 * steps)
        assert line["samples_per_second"] == 5
        assert line["data_wait_share"] == 0.25


def test_logged_are_multiples_and_the_last(tmp_path, undisturbed):
    run(tmp_path, log_every=5)
    every = losses(undisturbed)
    assert losses(tmp_path) == {step: every[step] for step in (5, 10, 12)}


def test_the_host_fetches_only_when_it_must(tmp_path, monkeypatch):
    fetched = []
    fetch = PendingMetrics.fetch

    def counted(self):
        fetched.append(len(self._waiting))
        return fetch(self)

    monkeypatch.setattr(PendingMetrics, "fetch", counted)
    run(tmp_path, log_every=6, checkpoint_every=0)
    # Twice to log, once more before the last checkpoint.
    assert fetched == [6, 6, 0]


@pytest.mark.parametrize(
    "rest", ['{"step": 13, "lo', '{"step": 13, "loss": 1}\n', "\0\0\n", "{}\n[]\n", '{"step": 3}']
)
def test_lines_of_an_interrupted_run_are_dropped(tmp_path, rest):
    run(tmp_path)
    path = tmp_path / "metrics.jsonl"
    before = path.read_text()
    path.write_text(before + rest)
    run(tmp_path, total_steps=13)
    assert path.read_text().startswith(before)
    assert list(losses(tmp_path)) == list(range(1, 14))


def test_the_time_of_an_evaluation_is_not_that_of_steps(tmp_path, monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    with Log(tmp_path, start=0, total=9, batch_size=10) as log:
        log.advance()
        now += 2
        with log.pausing():
            now += 100
        log.write(1, 0, {"loss": 1.0, "eval/l1": 0.125}, 0)
        assert "held-out l1=0.125" in str(log._bar)
        log.advance()
        now += 2
        log.write(2, 0, {"loss": 1.0}, 0)
        assert "held-out l1=0.125" in str(log._bar)  # until there is another
    assert [line["steps_per_second"] for line in lines(tmp_path)] == [0.5, 0.5]


def test_pictures(tmp_path):
    run(tmp_path, picture_every=5)
    assert sorted(os.listdir(tmp_path / "pictures")) == ["00000005.png", "00000010.png"]
    with Image.open(tmp_path / "pictures" / "00000010.png") as image:
        assert image.format == "PNG"
        assert image.size == (3 * 130 - 2, 14 + 4 * 130 - 2)


def test_tensorboard(tmp_path):
    run(tmp_path, tensorboard=True, picture_every=6, total_steps=6)
    run(tmp_path, tensorboard=True, eval_every=8, evaluate=evaluation(iter([0.2, 0.1])))
    events = b"".join(path.read_bytes() for path in (tmp_path / "tensorboard").iterdir())
    scalars = (b"loss/fit", b"gradient/network", b"samples_per_second", b"eval/l1")
    for tag in (*scalars, b"pictures", b"PNG"):
        assert tag in events


def test_tensorboard_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(InputError, match="pip install"):
        run(tmp_path, tensorboard=True)


def test_a_disk_that_takes_no_more(tmp_path):
    with Log(tmp_path, start=0, total=9, batch_size=1) as log:
        log._file.close()
        log._file = os.fdopen(os.open("/dev/full", os.O_WRONLY), "w")
        with pytest.raises(InputError, match="metrics.jsonl cannot be written: No space left"):
            log.write(1, 0, {"loss": 1.0}, 0)
        (tmp_path / "pictures").write_text("")
        with pytest.raises(InputError, match="pictures cannot be written: File exists"):
            log.picture(1, np.zeros((4, 4, 3), np.uint8))


def test_a_disk_that_takes_no_log_at_all(tmp_path):
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(InputError, match="metrics.jsonl cannot be written: Is a directory"):
        Log(tmp_path, start=0, total=9, batch_size=1)


def test_a_disk_that_takes_no_more_for_tensorboard(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    def log():
        return Log(tmp_path, start=0, total=9, batch_size=1, tensorboard=True)

    def end(error=None):
        with log() as ending:
            close = ending._tensorboard.close
            monkeypatch.setattr(ending._tensorboard, "close", lambda: (close(), full()))
            if error:
                raise error

    message = "tensorboard cannot be written: No space left"
    with pytest.raises(InputError, match=message):
        end()
    # An error that is on its way counts for more.
    with pytest.raises(ValueError, match="another"):
        end(ValueError("another"))
    with log() as opened:
        monkeypatch.setattr(opened._tensorboard, "add_scalar", full)
        monkeypatch.setattr(opened._tensorboard, "add_image", full)
        with pytest.raises(InputError, match=message):
            opened.write(1, 0, {"loss": 1.0}, 0)
        with pytest.raises(InputError, match=message):
            opened.picture(1, np.zeros((4, 4, 3), np.uint8))
    other = tmp_path / "other"
    other.mkdir()
    (other / "tensorboard").write_text("")
    with pytest.raises(InputError, match="tensorboard cannot be written: Not a directory"):
        Log(other, start=0, total=9, batch_size=1, tensorboard=True)


def test_the_devices_are_never_far_behind(monkeypatch):
    """Or batches would pile up on them."""
    waited = []
    monkeypatch.setattr(jax, "block_until_ready", lambda metrics: waited.append(metrics["step"]))
    pending = PendingMetrics(Progress(), 0)
    for step in range(1, 6):
        pending.add(step, {"step": step}, [])
    assert waited == [1, 2, 3]
