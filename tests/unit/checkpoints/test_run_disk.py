"""A run without room for its checkpoints, or in a folder that is not its own."""

import asyncio
import gc
import shutil
import threading

import pytest

from tests.helpers.checkpoint_runs import assert_error, run
from tests.helpers.fake_trainer import FakeTrainer, batches, loop_config
from tests.helpers.waiting import wait_until
from tpsm_jax.checkpoints.orbax_io import quiet_orbax
from tpsm_jax.checkpoints.run import Checkpoints
from tpsm_jax.checkpoints.steps import finished_steps
from tpsm_jax.checkpoints.workdir import check_disk
from tpsm_jax.errors import InputError
from tpsm_jax.training.loop import train

pytestmark = pytest.mark.slow  # Orbax


def leave_free(size, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=size)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)


def test_a_full_disk_is_reported_before_the_first_step(tmp_path, monkeypatch):
    fake = FakeTrainer(width=20000)  # 11 MiB with Adam's moments
    leave_free(30 << 20, monkeypatch)
    config = loop_config(keep_checkpoints=2)
    with pytest.raises(InputError, match=r"4 checkpoints of 10 MiB .*43 MiB .* 30 MiB are free"):
        train(config, tmp_path, fake, batches)
    assert fake.steps == []
    # What is there already needs no room again: with the last few and the best there is one to
    # come before the oldest goes.
    leave_free(15 << 20, monkeypatch)
    for step in ("1", "2", "3"):
        (tmp_path / "checkpoints" / step).mkdir()
    check_disk(tmp_path, 11 << 20, 2)
    with pytest.raises(InputError, match="no room for 2 checkpoints"):
        check_disk(tmp_path, 11 << 20, 3)


def test_a_run_that_is_done_needs_no_room(workdir, monkeypatch):
    leave_free(0, monkeypatch)
    run(workdir, total_steps=8)
    assert_error("no room for", workdir, total_steps=9)


@pytest.mark.parametrize("place", ["file", "file/run"])
def test_a_file_in_the_way(tmp_path, place):
    (tmp_path / "file").write_text("")
    assert_error(f"{tmp_path / place} cannot be written", tmp_path / place)


def test_a_disk_that_fails_in_the_middle(tmp_path):
    def failing(start):
        for batch in batches(start):
            if batch["name"][0].startswith("clip8_"):
                wait_until(lambda: finished_steps(tmp_path) == [4])
                shutil.rmtree(tmp_path / "checkpoints")
                (tmp_path / "checkpoints").write_text("")
            yield batch

    before = lasting_threads()
    with pytest.raises(InputError, match=r"a checkpoint cannot be written to .*Not a directory"):
        run(tmp_path, make_batches=failing)
    # Orbax's own may still be ending.
    wait_until(lambda: not lasting_threads() - before)


def test_what_the_manager_holds_of_a_failure_is_silent(tmp_path, caplog):
    """Python complains of a lost error when it collects it, long after the run's own is raised."""
    checkpoints = Checkpoints(tmp_path, keep=1)
    lost = asyncio.Future(loop=asyncio.new_event_loop())
    lost.get_loop().close()
    lost.set_exception(OSError("the disk is full"))
    checkpoints._manager.lost = lost
    del lost
    with pytest.raises(InputError), quiet_orbax(), checkpoints:
        raise InputError("the disk is full")
    del checkpoints  # which `train` holds until it returns
    gc.collect()
    assert "never retrieved" not in caplog.text


def lasting_threads():
    """Those that keep a process from ending."""
    return {thread for thread in threading.enumerate() if not thread.daemon}


def test_a_disk_that_fills_up_is_reported_at_the_next_checkpoint(tmp_path, monkeypatch):
    def filling(start):
        for batch in batches(start):
            if batch["name"][0].startswith("clip8_"):
                wait_until(lambda: finished_steps(tmp_path) == [4])
                leave_free(1, monkeypatch)
            yield batch

    with pytest.raises(InputError, match=r"0 MiB are free on the disk\); .* is of step 4"):
        run(tmp_path, make_batches=filling)
    monkeypatch.undo()
    run(tmp_path)
    assert finished_steps(tmp_path) == [8, 12]


@pytest.mark.parametrize("weights", ["model.safetensors", "variables"])
def test_a_converted_checkpoint_is_no_workdir(tmp_path, weights):
    (tmp_path / weights).mkdir() if weights == "variables" else (tmp_path / weights).touch()
    (tmp_path / "config.json").write_text("{}")
    assert_error("is a converted checkpoint", tmp_path)


@pytest.mark.parametrize(
    "names",
    [["metrics.jsonl"], ["checkpoints/epoch5"], ["config.json"], ["config.json", "weights"]],
)
def test_a_folder_of_something_else_is_left_alone(tmp_path, names):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    assert_error("holds other things than a run of train.py", tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    assert {(tmp_path / name).read_text() for name in names} == {"{}"}
