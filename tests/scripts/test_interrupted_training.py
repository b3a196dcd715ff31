"""Training killed, terminated and continued, as processes of their own."""

import functools
import json
import random
import signal
import socket

import jax
import numpy as np
import pytest

from tests.helpers.fake_trainer import lines, losses
from tests.helpers.processes import DOOMED, STRICT, kill_while, output_of, start_python, wait_for
from tests.helpers.waiting import wait_until
from tpsm_jax.checkpoints.orbax_io import load_tree
from tpsm_jax.checkpoints.steps import finished_steps

WIDTH = 20000  # 15 MiB of state, so that writing takes a while
LONG = ["total_steps=60", "checkpoint_every=3", f"width={WIDTH}"]


def start(workdir, *arguments, **environ):
    # They share what they compile (conftest.py), which must not change a bit.
    module = (*STRICT, "-m", "tests.helpers.fake_trainer")
    return start_python(*module, str(workdir), *arguments, **environ)


def finish(process):
    output = output_of(process)
    assert "Traceback" not in output
    return process.returncode, output


def unfinished(workdir):
    return list(workdir.glob("checkpoints/*tmp*"))


def assert_same_end(workdir, other):
    assert losses(workdir) == losses(other)
    for part in ("variables", "ema_params", "opt_state"):
        trees = [load_tree(folder / "checkpoints" / "60" / part) for folder in (workdir, other)]
        jax.tree.map(np.testing.assert_array_equal, *trees)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("interrupted") / "undisturbed"
    assert finish(start(workdir, *LONG))[0] == 0
    return workdir


def in_mid_save(workdir, saved):
    """Whether it has saved a step later than `saved`, and is saving the next."""
    return finished_steps(workdir)[-1:] > saved and unfinished(workdir)


def beyond(workdir, step):
    return any(line["step"] > step for line in lines(workdir))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "kills"), [(0, 2), *(pytest.param(seed, 6, marks=pytest.mark.long) for seed in (1, 2))]
)
def test_killed_at_any_moment(undisturbed, seed, kills):
    """Kills come at some step and while a checkpoint is written; of six, two come at any moment."""
    workdir = undisturbed.parent / f"killed_{seed}"
    rng = random.Random(seed)
    for kill in range(kills):
        saved, made = finished_steps(workdir)[-1:], [line["step"] for line in lines(workdir)][-1:]
        if kill % 3 == 2:
            polls = iter(range(rng.randrange(2000)))  # of some milliseconds each
            # However slow the polls are, the run must not end before the last of them.
            hold = max([*made, 36 * (kill + 1) // kills]) + 4
            process = start(workdir, *LONG, f"hold={hold}", **DOOMED)
            kill_while(lambda: next(polls, None) is None, process)  # noqa: B023
        elif kill % 2:
            process = start(workdir, *LONG, **DOOMED)
            kill_while(functools.partial(in_mid_save, workdir, saved or [0]), process)
            assert unfinished(workdir)
        else:
            at = max([*made, rng.randrange(36 * kill // kills, 36 * (kill + 1) // kills)])
            process = start(workdir, *LONG, f"hold={at + 4}", **DOOMED)
            kill_while(functools.partial(beyond, workdir, at), process)
    assert finish(start(workdir, *LONG))[0] == 0
    assert not unfinished(workdir)
    assert_same_end(workdir, undisturbed)


def start_and_hold(workdir):
    """A run that has taken steps, and waits for a batch before step 30."""
    process = start(workdir, *LONG, "hold=30")
    wait_for(lambda: losses(workdir), process)
    return process


def stop(workdir, number):
    """Sends a signal to a run; returns its exit code, what it said, and the step that it saved."""
    process = start_and_hold(workdir)
    process.send_signal(number)
    workdir.with_suffix(".go").touch()
    code, output = finish(process)
    step = finished_steps(workdir)[-1]
    assert list(losses(workdir)) == list(range(1, step + 1))
    return code, output, step


def assert_goes_on(workdir, undisturbed):
    assert finish(start(workdir, *LONG))[0] == 0
    assert_same_end(workdir, undisturbed)


@pytest.mark.slow
def test_terminated_it_saves_exits_0_and_goes_on(undisturbed):
    workdir = undisturbed.parent / "terminated"
    code, output, step = stop(workdir, signal.SIGTERM)
    assert code == 0
    assert f"stopped after step {step}; the same command resumes" in output
    assert_goes_on(workdir, undisturbed)


@pytest.mark.slow
def test_interrupted_by_hand_it_saves_exits_130_and_goes_on(undisturbed):
    workdir = undisturbed.parent / "interrupted"
    code, output, step = stop(workdir, signal.SIGINT)
    assert code == 130
    assert output.splitlines()[-2:] == [
        f"stopped after step {step}; the same command resumes",
        "interrupted; nothing was left half-written",
    ]
    assert not unfinished(workdir)
    assert_goes_on(workdir, undisturbed)


@pytest.mark.slow
def test_interrupted_twice_it_ends_at_once(undisturbed):
    workdir = undisturbed.parent / "interrupted_twice"
    process = start_and_hold(workdir)
    process.send_signal(signal.SIGINT)
    while "once more ends at once" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)  # it still waits for the batch
    code, output = finish(process)
    assert code == 130
    assert "interrupted again: ended at once; the same command resumes" in output
    assert_goes_on(workdir, undisturbed)


def start_two(workdirs, *arguments):
    """Two processes of two devices each, and the workdir of each."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    return [
        start(
            workdirs[number],
            *arguments,
            "devices=2",
            JAX_COORDINATOR_ADDRESS=address,
            JAX_NUM_PROCESSES="2",
            JAX_PROCESS_ID=f"{number}",
        )
        for number in range(2)
    ]


@pytest.mark.slow
def test_what_stops_one_process_stops_both(tmp_path):
    (tmp_path / "file").write_text("")
    for code, output in map(finish, start_two([tmp_path / "file"] * 2)):
        assert code == 2
        assert f"error: {tmp_path / 'file'} cannot be written: File exists" in output


@pytest.mark.slow
def test_a_disk_that_is_full_for_the_first_process_stops_both(tmp_path):
    settings = ("total_steps=9", "checkpoint_every=3", "full=6")
    processes = start_two([tmp_path / "run"] * 2, *settings)
    wait_for(lambda: finished_steps(tmp_path / "run"), processes[0])
    # What hangs waits for minutes.
    wait_until(lambda: None not in [process.poll() for process in processes], seconds=60)
    for code, output in map(finish, processes):
        assert code == 2, output
        assert "0 MiB are free on the disk); the newest whole one is of step 3" in output
    assert finished_steps(tmp_path / "run") == [3]


@pytest.mark.slow
def test_a_workdir_that_hosts_do_not_share(tmp_path):
    for code, output in map(finish, start_two((tmp_path / "here", tmp_path / "there"))):
        assert code == 2
        assert "must be on a disk that all hosts share" in output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 0), pytest.param(signal.SIGINT, 130, marks=pytest.mark.long)],
)
def test_two_processes_agree_on_the_step_and_one_goes_on(undisturbed, number, code):
    """Saved by two processes of two devices, restored by one of four."""
    workdir = undisturbed.parent / f"two_{code}"
    # Most of the time is spent in evaluations, and there the signal is likely to come.
    settings = ("total_steps=2000", "checkpoint_every=3", "eval_every=3", "delay=0.02")
    processes = start_two([workdir] * 2, *settings)
    wait_for(lambda: finished_steps(workdir), processes[0])
    processes[1].send_signal(number)  # we send the other no signal
    ends = [finish(process) for process in processes]
    assert [code for code, _ in ends] == [0, code], ends
    step = finished_steps(workdir)[-1]
    assert step < 2000
    assert list(losses(workdir)) == list(range(1, step + 1))

    more = f"total_steps={step + 3}"
    assert finish(start(workdir, more, "checkpoint_every=3", "devices=4"))[0] == 0
    alone = undisturbed.parent / f"alone_{code}"
    assert finish(start(alone, more, "checkpoint_every=3", "devices=4"))[0] == 0
    np.testing.assert_allclose(
        list(losses(workdir).values()), list(losses(alone).values()), rtol=1e-5
    )
    config = json.loads((workdir / "config.json").read_text())
    assert config["total_steps"] == step + 3
