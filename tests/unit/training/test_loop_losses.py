"""Losses that are not finite, and the mean losses that checkpoints are compared by."""

import functools

import numpy as np
import pytest

from tests.helpers.fake_trainer import (
    batches,
    lines,
    losses,
)
from tests.helpers.loop_runs import run, terminated
from tpsm_jax.checkpoints.run import Checkpoints
from tpsm_jax.checkpoints.steps import finished_steps
from tpsm_jax.errors import InputError
from tpsm_jax.training.pending_metrics import NonFiniteLossError


def broken(*steps):
    return functools.partial(batches, broken=steps)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    with pytest.raises(NonFiniteLossError) as error:
        run(tmp_path, broken(6), log_every=4)
    message = str(error.value)
    for words in ("step 6 ", "loss nan", "loss/fit nan", "clip6_0, clip6_1, clip6_2, clip6_3"):
        assert words in message
    assert "clip5" not in message
    assert "\n" not in message
    assert isinstance(error.value, InputError)
    assert finished_steps(tmp_path) == [4]
    assert list(losses(tmp_path)) == [4]


def test_it_stops_before_a_checkpoint_though_nothing_is_logged(tmp_path):
    with pytest.raises(NonFiniteLossError, match="step 4 "):
        run(tmp_path, broken(4), log_every=100)
    assert finished_steps(tmp_path) == []


def test_steps_that_are_not_finite_are_left_out_and_counted(tmp_path):
    run(tmp_path, broken(3, 4, 7), skip_nonfinite_steps=2)
    assert [line["nonfinite_steps"] for line in lines(tmp_path)] == [0, 0, 1, 2, 2, 2] + [3] * 6
    found = losses(tmp_path)
    assert [step for step, loss in found.items() if loss is None] == [3, 4, 7]
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()


def test_more_in_a_row_than_allowed_stop(tmp_path):
    with pytest.raises(NonFiniteLossError, match="step 8 "):
        run(tmp_path, broken(3, 4, 6, 7, 8), skip_nonfinite_steps=2)
    assert finished_steps(tmp_path) == [4]


def test_the_count_survives_a_stop_in_the_middle_of_a_row(tmp_path):
    run(tmp_path, broken(3, 4), skip_nonfinite_steps=2, total_steps=4)
    with pytest.raises(NonFiniteLossError, match="step 5 "):
        run(tmp_path, broken(5), skip_nonfinite_steps=2)
    run(tmp_path, broken(5), skip_nonfinite_steps=3)
    assert lines(tmp_path)[-1]["nonfinite_steps"] == 3


def test_a_checkpoint_of_nothing_finite_is_not_the_best(tmp_path):
    run(tmp_path, broken(1, 2, 3), skip_nonfinite_steps=3, checkpoint_every=3, keep_checkpoints=1)
    assert 3 not in finished_steps(tmp_path)


def saved_means(monkeypatch):
    """Step -> the mean loss that came with its checkpoint, from now on."""
    saved, save = {}, Checkpoints.save

    def noted(self, state, progress, mean_loss, held_out_l1):
        saved[progress.step] = mean_loss
        save(self, state, progress, mean_loss, held_out_l1)

    monkeypatch.setattr(Checkpoints, "save", noted)
    return saved


def test_a_mean_over_few_steps_is_not_compared(tmp_path, monkeypatch):
    saved = saved_means(monkeypatch)
    run(tmp_path, options=(("steps_per_epoch", 5),), checkpoint_every=4)
    found = list(losses(tmp_path).values())
    expected = {4: found[:4], 5: None, 8: found[4:8], 10: found[8:10], 12: found[10:]}
    assert list(saved) == list(expected)
    for step, steps in expected.items():
        mean = None if steps is None else pytest.approx(np.mean(steps), rel=1e-12)
        assert saved[step] == mean


def test_a_few_steps_before_a_signal_are_not_the_best(tmp_path, monkeypatch):
    saved = saved_means(monkeypatch)
    run(tmp_path, functools.partial(terminated, at=11), checkpoint_every=7, keep_checkpoints=1)
    assert saved[9] is None
    assert finished_steps(tmp_path) == [7, 9]
