"""The loop around a tiny trainer: resuming, stopping, skipping, logs and pictures."""

import functools
import os
import signal
import sys
import time

import jax
import numpy as np
import pytest
from PIL import Image

from tests.helpers.compilations import compilations
from tests.helpers.fake_trainer import (
    BATCH,
    FakeTrainer,
    batches,
    evaluation,
    lines,
    loop_config,
    losses,
)
from tpsm_jax.checkpoints.orbax_io import load_tree
from tpsm_jax.checkpoints.run import Checkpoints, Progress
from tpsm_jax.checkpoints.steps import find_step, finished_steps
from tpsm_jax.errors import InputError
from tpsm_jax.training.log import Log
from tpsm_jax.training.loop import train
from tpsm_jax.training.pending_metrics import NonFiniteLossError, PendingMetrics


@functools.cache
def trainer(**options):
    """Shared, because compiling takes longer than the tests."""
    return FakeTrainer(**options)


def run(workdir, make_batches=batches, *, evaluate=None, options=(("ema", True),), **changes):
    train(loop_config(**changes), workdir, trainer(**dict(options)), make_batches, evaluate)


def assert_same_weights(workdir, other, step=12):
    for part in ("variables", "ema_params", "opt_state"):
        trees = [
            load_tree(folder / "checkpoints" / str(step) / part) for folder in (workdir, other)
        ]
        jax.tree.map(np.testing.assert_array_equal, *trees)


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


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Twelve steps in one go."""
    workdir = tmp_path_factory.mktemp("undisturbed")
    run(workdir)
    return workdir


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


# metrics.jsonl


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


# Stopping.


def terminated(start, at=5):
    """Batches whose reading is met by a SIGTERM; the loop has read two ahead."""
    for batch in batches(start):
        if batch["name"][0].startswith(f"clip{at}_"):
            os.kill(os.getpid(), signal.SIGTERM)
        yield batch


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


# Losses that are not finite.


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


# Which mean losses are compared.


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


# Evaluation meanwhile.


def held_out(workdir):
    """Step -> L1 of the evaluated ones."""
    return {line["step"]: line["eval/l1"] for line in lines(workdir) if "eval/l1" in line}


def test_evaluated_steps_are_logged_and_checkpointed(tmp_path, undisturbed):
    run(
        tmp_path, evaluate=evaluation(iter([0.3, 0.1, 0.2])), eval_every=5, log_every=4,
        checkpoint_every=0, keep_checkpoints=9,
    )  # fmt: skip
    assert held_out(tmp_path) == {5: 0.3, 10: 0.1, 12: 0.2}  # the last one always
    every = losses(undisturbed)
    assert losses(tmp_path) == {step: every[step] for step in (4, 5, 8, 10, 12)}
    assert finished_steps(tmp_path) == [5, 10, 12]
    assert_same_weights(tmp_path, undisturbed)


def test_the_best_is_that_of_the_least_held_out_l1(tmp_path):
    values = iter([0.3, 0.1, 0.2, 0.4, 0.15, 0.5])
    run(tmp_path, evaluate=evaluation(values), eval_every=2, keep_checkpoints=1)
    found = losses(tmp_path)
    assert min(found[step] for step in (11, 12)) < found[3]  # the loss says otherwise
    assert finished_steps(tmp_path) == [4, 12]
    assert find_step(tmp_path, "best") == 4
    # It stays the best where later ones are not evaluated, though their loss is less.
    run(tmp_path, total_steps=20, keep_checkpoints=1)
    assert finished_steps(tmp_path) == [4, 20]
    assert find_step(tmp_path, "best") == 4


def test_before_the_first_evaluation_the_loss_tells_the_best(tmp_path):
    run(tmp_path, keep_checkpoints=1)
    run(tmp_path, evaluate=evaluation(iter([9.0])), eval_every=14, total_steps=14,
        keep_checkpoints=9)  # fmt: skip
    assert find_step(tmp_path, "best") == 14
    assert len(finished_steps(tmp_path)) > 1


def test_a_held_out_l1_that_is_not_finite_is_not_the_best(tmp_path):
    values = iter([float("nan"), 0.5, float("inf")])
    run(tmp_path, evaluate=evaluation(values), eval_every=4)
    assert held_out(tmp_path) == {4: None, 8: 0.5, 12: None}
    assert find_step(tmp_path, "best") == 8


def test_evaluation_gets_the_averaged_weights_of_the_step(tmp_path):
    seen = []

    def evaluate(variables, stop):
        seen.append(jax.device_get(variables["params"]))
        return {"eval/l1": 0.5}

    run(tmp_path, evaluate=evaluate, eval_every=4, keep_checkpoints=3)
    for step, params in zip((4, 8, 12), seen, strict=True):
        saved = load_tree(tmp_path / "checkpoints" / str(step) / "ema_params")
        jax.tree.map(np.testing.assert_array_equal, params, saved)


def test_sigterm_during_an_evaluation_saves_and_the_same_call_goes_on(
    tmp_path, undisturbed, capsys
):
    def evaluate(variables, stop):
        os.kill(os.getpid(), signal.SIGTERM)
        return {} if stop() else {"eval/l1": 0.5}

    run(tmp_path, evaluate=evaluate, eval_every=5, checkpoint_every=0)
    assert "stopped after step 5" in capsys.readouterr().err
    assert finished_steps(tmp_path) == [5]
    assert list(losses(tmp_path)) == [1, 2, 3, 4, 5]
    run(tmp_path, evaluate=evaluation(iter([0.2, 0.1])), eval_every=5)
    assert held_out(tmp_path) == {10: 0.2, 12: 0.1}
    assert losses(tmp_path) == losses(undisturbed)
    assert_same_weights(tmp_path, undisturbed)


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


def test_an_evaluation_that_is_missing(tmp_path):
    with pytest.raises(ValueError, match="eval_every"):
        run(tmp_path / "new", eval_every=4)


# Pictures and TensorBoard.


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
