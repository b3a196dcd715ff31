"""A lock on what a run writes, so that a second run of the same output is refused.

A lock is a file that names its holder. Between processes of one machine the system's own lock on
that file (flock) decides, which ends with its process, however that ends. Between machines that
share a disk it may decide nothing, so there the holder's name does.
"""

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tpsm_jax.errors import InputError, reason
from tpsm_jax.runtime.atomic_files import through_links
from tpsm_jax.runtime.json_files import parse_json

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"  # in the folder that a run writes
_BOOT = Path("/proc/sys/kernel/random/boot_id")  # another one after every start of a machine
_MOMENT = 1.0  # seconds; far longer than a process takes from making its lock to naming itself


@contextlib.contextmanager
def only_run(lock: Path, doing: str) -> Iterator[None]:
    """Keeps other runs out while the block runs.

    The lock of a run that was killed is taken over on its own machine. A machine cannot know
    whether a process of another one lives, so there the error says which file to delete.

    Args:
      lock: path of the lock file, in a folder that exists; removed at the end.
      doing: completes "another run is ...", for the error: "training in runs/vox".

    Raises:
      InputError: another run holds the lock.
      OSError: the file cannot be written.
    """
    descriptor = _acquire(lock, doing)
    try:
        yield
    finally:
        try:
            # It may lie in a folder that the run has removed, and another run may have its own.
            if _is_at(descriptor, lock):
                lock.unlink()
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def only_writer(output: str | Path, *, make_folder: bool = False) -> Iterator[None]:
    """Keeps other runs from an output that is replaced as a whole, by a lock next to it.

    Where the output is a link, the lock lies next to what it leads to.

    Args:
      output: path of the file or folder.
      make_folder: make the folder that it lies in, if missing.

    Raises:
      InputError: another run writes it, or nothing can be written there.
    """
    place = through_links(Path(os.path.abspath(output)))
    with contextlib.ExitStack() as stack:
        try:
            if make_folder:
                place.parent.mkdir(parents=True, exist_ok=True)
            lock = place.parent / f".{place.name}{LOCK}"
            stack.enter_context(only_run(lock, f"writing {output}"))
        except OSError as error:
            raise InputError(f"cannot write {output}: {reason(error)} ({place.parent}/)") from None
        yield


def _acquire(lock: Path, doing: str) -> int:
    """Opens and locks the file, and writes this process's name into it."""
    while True:
        descriptor, is_new = _open(lock)
        try:
            is_locked = _flock(descriptor)
            if not _is_at(descriptor, lock):  # its holder has just removed it
                os.close(descriptor)
                continue
            if not is_new and (holder := _wait_for_holder(lock)) and _lives(holder, is_locked):
                raise _refusal(lock, doing, holder)
            _name_holder(descriptor, lock)
        except BlockingIOError:
            os.close(descriptor)
            raise _refusal(lock, doing, _holder(lock)) from None
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def _name_holder(descriptor: int, lock: Path) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(_this_process()).encode(), 0)
        os.fsync(descriptor)  # for other machines
    except OSError as error:
        lock.unlink(missing_ok=True)
        # The error of a full disk names no file.
        raise OSError(error.errno, error.strerror, str(lock)) from error


def _open(lock: Path) -> tuple[int, bool]:
    """A descriptor of the file, and whether this process has made it."""
    flags = os.O_RDWR | os.O_CREAT
    try:
        return os.open(lock, flags | os.O_EXCL, 0o666), True
    except FileExistsError:
        return os.open(lock, flags, 0o666), False


def _flock(descriptor: int) -> bool:
    """Locks a file; False where the file system has no locks.

    Raises:
      BlockingIOError: another process has it.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _this_process() -> dict[str, Any]:
    number = os.getpid()
    return {
        "host": socket.gethostname(),
        "boot": _boot(),
        "pid": number,
        "started": _start_of(number),
        "since": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def _holder(lock: Path) -> dict[str, Any]:
    """What the holder has written into the file; {} if nothing, or not to the end."""
    try:
        holder = parse_json(lock.read_text())
    except (OSError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _wait_for_holder(lock: Path) -> dict[str, Any]:
    """The same, a moment later if a process of another machine may have just made the file."""
    if not (holder := _holder(lock)):
        time.sleep(_MOMENT)
        holder = _holder(lock)
    return holder


def _lives(holder: dict[str, Any], is_locked: bool) -> bool:
    """Whether a holder may still run, this process having locked its file or not."""
    if _boot() and holder.get("boot") == _boot():
        # Nobody else has the file locked, and so its holder has ended.
        return not is_locked and holder.get("started") == _start_of(holder.get("pid"))
    # This machine, started again since; or one that does not say when it was.
    return holder.get("host") != socket.gethostname()


def _boot() -> str:
    return _BOOT.read_text().strip() if _BOOT.exists() else ""


def _start_of(number: Any) -> str | None:
    """When a process started, in ticks since the machine did; None if there is no such process."""
    try:
        text = Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()[19]  # a program's name may hold anything


def _refusal(lock: Path, doing: str, holder: dict[str, Any]) -> InputError:
    if not holder:
        return InputError(f"another run is {doing}: wait for it, or stop it")
    who = f"process {holder.get('pid')} on {holder.get('host')}, since {holder.get('since')}"
    if holder.get("host") == socket.gethostname():
        return InputError(f"another run is {doing} ({who}): wait for it, or stop it")
    return InputError(
        f"another run is {doing} ({who}): wait for it, or stop it; if it has ended already, delete "
        f"{lock}"
    )
