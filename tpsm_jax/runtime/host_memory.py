"""The memory of this host, and what this process may still take of it."""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

# Control groups limit containers and batch jobs. Each entry is one version of them: its controller
# in /proc/self/cgroup, its folder, and its files for the limit and the use of memory and of swap,
# and the part of the use that can be dropped.
_GROUPS = (
    ("", "", "memory.max", "memory.current", "memory.swap.max", "memory.swap.current",
     "inactive_file"),
    ("memory", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
     "memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes", "total_inactive_file"),
)  # fmt: skip


def total_memory() -> int:
    """Bytes of memory of this host; `sys.maxsize` if the system does not report it."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return sys.maxsize
    return total if total > 0 else sys.maxsize


def free_memory(system: Path = Path("/")) -> int:
    """Bytes that this process may still take, swap included.

    What its own malloc keeps ready counts, too: freed memory stays with the process, see
    `malloc.keep_freed_memory`, and the next program takes that first.

    Args:
      system: the folder that has proc/ and sys/, for tests.
    """
    try:
        entries = _numbers(system / "proc/meminfo")
        swap = 1024 * entries["SwapFree:"]
        limits = [1024 * entries["MemAvailable:"] + swap]
    except (OSError, LookupError, ValueError):  # not Linux
        return total_memory()
    limits += [*_left_by_groups(system, swap), *_left_by_ulimit(system)]
    return max(0, min(limits)) + _ready_in_malloc()


def _left_by_groups(system: Path, swap: int) -> Iterator[int]:
    """What the control groups that this process is in leave it, with `swap` bytes of swap free."""
    try:
        lines = (system / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for controller, folder, limit, use, swap_limit, swap_use, droppable in _GROUPS:
            if controller not in controllers.split(","):
                continue
            # A container may see the host's path, which it does not have, at its own root.
            root = system / "sys/fs/cgroup" / folder
            for group in accumulate(path.split("/"), Path.joinpath, initial=root):
                left = _difference(group / limit, group / use)
                if left is None:
                    continue
                with contextlib.suppress(OSError, LookupError, ValueError):
                    left += _numbers(group / "memory.stat")[droppable]
                swap_left = _difference(group / swap_limit, group / swap_use)
                if swap_left is None:
                    yield left + swap
                elif controller:  # version 1 counts memory and swap together
                    yield min(left + swap, max(left, swap_left))
                else:
                    yield left + min(swap, swap_left)


def _difference(limit: Path, use: Path) -> int | None:
    """A limit less what is used of it; None without a limit ("max"), or without such a group."""
    try:
        return int(limit.read_text()) - int(use.read_text())
    except (OSError, ValueError):
        return None


def _left_by_ulimit(system: Path) -> Iterator[int]:
    """What `ulimit -v` leaves this process, if it is set."""
    import resource  # which Windows lacks

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        try:
            pages = int((system / "proc/self/statm").read_text().split()[0])
        except (OSError, ValueError):
            return
        yield limit - pages * resource.getpagesize()


def _numbers(path: Path) -> dict[str, int]:
    """Reads a file of lines "NAME NUMBER ..."."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) > 1}


class _MallocInfo(ctypes.Structure):
    """What glibc's mallinfo2 returns, see malloc.h."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd",
            "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


def _ready_in_malloc() -> int:
    """Bytes that glibc's malloc holds but that are unused; 0 with another C library."""
    try:
        mallinfo = ctypes.CDLL(None).mallinfo2  # of glibc from 2.33 on
    except (AttributeError, OSError, TypeError):
        return 0
    mallinfo.restype = _MallocInfo
    return mallinfo().fordblks
