"""The loop around a tiny trainer: resuming and stopping."""

import functools
import os
import signal

import pytest

from tests.helpers.compilations import compilations
from tests.helpers.fake_trainer import (
    FakeTrainer,
    batches,
    lines,
    loop_config,
    losses,
)
from tests.helpers.loop_runs import assert_same_weights, run, terminated
from tpsm_jax.checkpoints.steps import finished_steps
from tpsm_jax.errors import InputError
from tpsm_jax.training.loop import train


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_params": {"width": 9}}, "model_params.width = 8, and the config says 9"),
        ({"dataset": {"mix_weights": (1, 2)}}, r"dataset.mix_weights = \[\], and the config says"),
    ],
)
def test_another_run_does_not_go_on_in_its_folder(tmp_path, change, message):
    run(tmp_path, total_steps=4)
    with pytest.raises(InputError, match=message):
        run(tmp_path, total_steps=8, **change)


def test_the_fake_learns_and_every_step_differs(undisturbed):
    found = losses(undisturbed)
    assert list(found) == list(range(1, 13))
    assert len(set(found.values())) == 12
    assert found[12] < found[1]


@pytest.mark.parametrize("stops", [(4,), (5, 6, 11), (1, 9)])
def test_resuming_equals_never_having_stopped(tmp_path, undisturbed, stops):
    for total_steps in (*stops, 12):
        run(tmp_path, total_steps=total_steps)
        assert list(losses(tmp_path)) == list(range(1, total_steps + 1))
    assert losses(tmp_path) == losses(undisturbed)
    assert_same_weights(tmp_path, undisturbed)


def test_a_run_that_is_done_stays_as_it_is(tmp_path, undisturbed):
    run(tmp_path)
    before = (tmp_path / "metrics.jsonl").read_text()
    run(tmp_path)
    assert (tmp_path / "metrics.jsonl").read_text() == before
    assert finished_steps(tmp_path) == [8, 12]


def test_epochs_bound_a_run_and_end_in_a_checkpoint(tmp_path):
    run(
        tmp_path,
        options=(("steps_per_epoch", 5),),
        total_steps=0,
        checkpoint_every=0,
        keep_checkpoints=9,
    )
    assert finished_steps(tmp_path) == [5, 10, 15]
    assert list(losses(tmp_path)) == list(range(1, 16))


def test_the_trainer_gets_the_number_of_each_step(tmp_path):
    fake = FakeTrainer()
    for total_steps in (3, 5):
        train(loop_config(total_steps=total_steps), tmp_path, fake, batches)
    assert fake.steps == [0, 1, 2, 3, 4]


def test_a_run_killed_before_its_first_checkpoint_starts_again(tmp_path, undisturbed):
    class Killed(BaseException):
        pass

    def until(start):
        for batch in batches(start):
            if batch["name"][0].startswith("clip6_"):
                raise Killed
            yield batch

    with pytest.raises(Killed):
        run(tmp_path, until, checkpoint_every=0)
    assert len(lines(tmp_path)) > 1
    run(tmp_path)
    assert losses(tmp_path) == losses(undisturbed)


def test_sigterm_saves_and_the_same_call_goes_on(tmp_path, undisturbed, capsys):
    handler = signal.getsignal(signal.SIGTERM)
    run(tmp_path, terminated, checkpoint_every=0)
    assert signal.getsignal(signal.SIGTERM) is handler
    assert finished_steps(tmp_path) == [3]
    assert "stopped after step 3" in capsys.readouterr().err
    run(tmp_path)
    assert losses(tmp_path) == losses(undisturbed)
    assert_same_weights(tmp_path, undisturbed)


def test_a_run_brings_the_handler_before_back(tmp_path):
    handler = signal.getsignal(signal.SIGTERM)
    run(tmp_path, total_steps=1)
    assert signal.getsignal(signal.SIGTERM) is handler


def test_sigterm_before_the_first_step_saves_nothing(tmp_path):
    def at_once(start):
        os.kill(os.getpid(), signal.SIGTERM)
        return batches(start)

    run(tmp_path, at_once)
    assert finished_steps(tmp_path) == []
    run(tmp_path)
    assert finished_steps(tmp_path) == [8, 12]


def test_a_second_sigterm_meets_the_handler_before(tmp_path):
    class SecondSignalError(Exception):
        pass

    def handler(*_):
        raise SecondSignalError

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with pytest.raises(SecondSignalError):
            run(tmp_path, functools.partial(_signalled_twice, at=5))
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_ctrl_c_saves_and_is_raised_again(tmp_path, undisturbed):
    handler = signal.getsignal(signal.SIGINT)
    interrupted = functools.partial(terminated, number=signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, interrupted, checkpoint_every=0)
    assert signal.getsignal(signal.SIGINT) is handler
    assert finished_steps(tmp_path) == [3]
    run(tmp_path)
    assert losses(tmp_path) == losses(undisturbed)


def test_ctrl_c_that_a_shell_ignores_stays_ignored(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        run(tmp_path, functools.partial(terminated, number=signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, before)
    assert finished_steps(tmp_path)[-1] == 12


def _signalled_twice(start, at):
    for batch in terminated(start, at):
        if batch["name"][0].startswith(f"clip{at}_"):
            os.kill(os.getpid(), signal.SIGTERM)
        yield batch


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, InputError])
def test_an_error_in_the_data_passes_and_leaves_what_was_saved(tmp_path, undisturbed, error):
    def failing(start):
        for batch in batches(start):
            if batch["name"][0].startswith("clip8_"):
                raise error("broken")
            yield batch

    with pytest.raises(error, match="broken"):
        run(tmp_path, failing)
    assert finished_steps(tmp_path) == [4]
    run(tmp_path)
    assert losses(tmp_path) == losses(undisturbed)


def test_the_batches_are_closed(tmp_path):
    closed = []

    def kept(start):
        try:
            yield from batches(start)
        finally:
            closed.append(start)

    iterators = []
    run(tmp_path, lambda start: iterators.append(kept(start)) or iterators[0], total_steps=2)
    assert closed == [0]


def test_epochs_checkpoints_logs_and_pictures_compile_nothing_twice(tmp_path):
    before = []

    def watched(start):
        for batch in batches(start):
            before.append(len(compiled))
            yield batch

    with compilations() as compiled:
        run(
            tmp_path,
            watched,
            options=(("steps_per_epoch", 3),),
            picture_every=2,
            checkpoint_every=2,
        )
    # Before its first step the loop has asked for three batches: before[5] is before the fourth,
    # when an epoch has ended, and a picture and checkpoints have been made.
    assert len(before) == 14
    assert compiled[before[5] :] == []


def test_batches_need_not_be_a_generator(tmp_path):
    ready = [batch for batch, _ in zip(batches(0), range(6), strict=False)]
    run(tmp_path, lambda _: iter(ready), total_steps=3)
    assert list(losses(tmp_path)) == [1, 2, 3]
