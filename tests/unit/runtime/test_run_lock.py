"""One run at a time: on one machine, on two that share a disk, and after a run was killed."""

import errno
import json
import os
import re
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from tests.helpers.processes import kill_while, start_python
from tpsm_jax.errors import InputError
from tpsm_jax.runtime import run_lock
from tpsm_jax.runtime.run_lock import only_run, only_writer

HOLD = """
import sys, time
from pathlib import Path
from tpsm_jax.runtime.run_lock import only_run
with only_run(Path(sys.argv[1]), "training in x"):
    print("held", flush=True)
    time.sleep(600)
"""
OTHER = {"host": "elsewhere", "boot": "b", "pid": 7, "started": "1", "since": "yesterday"}


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / ".lock"


def take(lock: Path) -> None:
    with only_run(lock, "training in x"):
        holder = json.loads(lock.read_text())
        assert (holder["host"], holder["pid"]) == (socket.gethostname(), os.getpid())
    assert not lock.exists()


def refused(lock: Path) -> str:
    before = lock.read_bytes()
    with pytest.raises(InputError) as error, only_run(lock, "training in x"):
        pytest.fail("it was let in")
    assert lock.read_bytes() == before
    return str(error.value)


def ours(**changes: object) -> str:
    return json.dumps({**run_lock._this_process(), **changes})


def test_the_lock_ends_with_its_block_and_with_an_error(lock: Path) -> None:
    take(lock)
    with pytest.raises(KeyError), only_run(lock, "training in x"):
        raise KeyError
    assert not lock.exists()
    take(lock)


def test_a_second_run_is_refused_and_the_first_one_keeps_its_lock(lock: Path) -> None:
    with only_run(lock, "training in x"):
        message = refused(lock)
        assert refused(lock) == message
    who = rf"process {os.getpid()} on {re.escape(socket.gethostname())}, since 2\d+-\d+-\d+ .*"
    assert re.fullmatch(
        rf"another run is training in x \({who}\): wait for it, or stop it", message
    )


@pytest.mark.slow
def test_a_killed_run_needs_nobody_to_clear_up(lock: Path) -> None:
    process = start_python("-c", HOLD, str(lock))
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    assert f"process {process.pid} on " in refused(lock)
    kill_while(lock.exists, process)
    assert json.loads(lock.read_text())["pid"] == process.pid
    take(lock)


def test_a_run_of_another_machine_is_refused_with_a_way_on(lock: Path) -> None:
    lock.write_text(json.dumps(OTHER))
    assert refused(lock) == (
        "another run is training in x (process 7 on elsewhere, since yesterday): wait for it, or "
        f"stop it; if it has ended already, delete {lock}"
    )
    lock.unlink()
    take(lock)


@pytest.mark.parametrize(
    "holder",
    [
        pytest.param(lambda: ours(boot="before"), id="before this machine started"),
        pytest.param(lambda: ours(host="container"), id="another name of this machine"),
    ],
)
def test_what_this_machine_knows_to_have_ended_is_taken_over(
    lock: Path, holder: Callable[[], str]
) -> None:
    lock.write_text(holder())
    take(lock)


@pytest.mark.parametrize("content", ["", '{"host": "els', "[]", "\udcff"])
def test_a_lock_that_names_nobody_is_taken_over(
    lock: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.setattr(run_lock, "_MOMENT", 0)
    lock.write_text(content, errors="surrogateescape")
    take(lock)


def test_a_machine_that_has_just_made_its_lock_gets_time_to_name_itself(
    lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock.touch()
    monkeypatch.setattr(run_lock.time, "sleep", lambda _: lock.write_text(json.dumps(OTHER)))
    with pytest.raises(InputError, match="process 7 on elsewhere"), only_run(lock, "training"):
        pass
    assert json.loads(lock.read_text()) == OTHER


def test_where_files_cannot_be_locked_the_process_decides(
    lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(run_lock.fcntl, "flock", flock)
    take(lock)
    with only_run(lock, "training in x"):
        assert f"process {os.getpid()} on" in refused(lock)
    lock.write_text(ours(started="5"))  # its number is another process's by now
    take(lock)
    lock.write_text(ours(pid=2**22 + 1))  # above the largest that Linux gives
    take(lock)


def test_of_many_that_find_a_stale_lock_at_once_one_gets_in(lock: Path) -> None:
    count = 16
    for _ in range(20):
        lock.write_text(ours(boot="before"))
        together, all_tried = Barrier(count), Barrier(count)

        def attempt(_: int, together: Barrier = together, all_tried: Barrier = all_tried) -> bool:
            together.wait()
            try:
                with only_run(lock, "training in x"):
                    all_tried.wait()
                    return True
            except InputError:
                all_tried.wait()
                return False

        with ThreadPoolExecutor(count) as pool:
            assert sum(pool.map(attempt, range(count))) == 1
        assert not lock.exists()


def test_a_run_that_removes_the_folder_of_its_lock(tmp_path: Path) -> None:
    (tmp_path / "unfinished").mkdir()
    with only_run(tmp_path / "unfinished" / "lock", "preparing x"):
        (tmp_path / "unfinished" / "lock").unlink()
        (tmp_path / "unfinished").rmdir()
    assert os.listdir(tmp_path) == []


def test_a_full_disk_leaves_no_lock(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pwrite(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(OSError, match=r"No space left on device: .*\.lock"):
        take(lock)
    assert not lock.exists()


def test_an_output_that_is_replaced_is_locked_next_to_it(tmp_path: Path) -> None:
    for output in (tmp_path / "out.mp4", f"{tmp_path}/frames/", tmp_path / "a" / ".." / "out.mp4"):
        with only_writer(output):
            assert os.listdir(tmp_path) == [f".{Path(os.path.abspath(output)).name}.lock"]
            with pytest.raises(InputError, match="another run is writing"), only_writer(output):
                pass
    assert os.listdir(tmp_path) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    output = tmp_path / "missing" / "out.mp4"
    missing = pytest.raises(InputError, match=f"cannot write {output}: No such file")
    with missing, only_writer(output):
        pass
    with only_writer(output, make_folder=True):
        pass
    assert os.listdir(tmp_path / "missing") == []
