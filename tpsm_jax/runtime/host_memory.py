"""The memory of this host, and what this process may still take of it."""

import ctypes
import os
import sys
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

# Control groups limit containers and batch jobs. Of each of their two versions: the controller in
# /proc/self/cgroup, the folder, the limit, the use, and what of the use can be dropped.
_GROUPS = (
    ("", "", "memory.max", "memory.current", "inactive_file"),
    ("memory", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def total_memory() -> int:
    """Bytes of memory of this host; more than any has where the system does not say."""
    if not hasattr(os, "sysconf"):
        return sys.maxsize
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


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
        limits += [left + swap for left in _left_by_groups(system)]
        limits += _left_by_ulimit(system)
    except (OSError, LookupError, ValueError):  # not Linux
        return total_memory()
    return max(0, min(limits)) + _ready_in_malloc()


def _left_by_groups(system: Path) -> Iterator[int]:
    """What the control groups that this process is in leave it."""
    for line in (system / "proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller, folder, limit, use, droppable in _GROUPS:
            if controller not in controllers.split(","):
                continue
            # A container may see the host's path, which it does not have, at its own root.
            root = system / "sys/fs/cgroup" / folder
            for group in accumulate(path.split("/"), Path.joinpath, initial=root):
                try:
                    left = int((group / limit).read_text()) - int((group / use).read_text())
                    yield left + _numbers(group / "memory.stat")[droppable]
                except (OSError, LookupError, ValueError):  # no such group, or no limit: "max"
                    continue


def _left_by_ulimit(system: Path) -> Iterator[int]:
    """What `ulimit -v` leaves this process, if it is set."""
    import resource  # which Windows lacks

    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        pages = int((system / "proc/self/statm").read_text().split()[0])
        yield most - pages * resource.getpagesize()


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
    """Bytes that glibc's malloc has of the system and nobody uses; 0 for other libraries."""
    mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)  # of glibc from 2.33 on
    if mallinfo is None:
        return 0
    mallinfo.restype = _MallocInfo
    return mallinfo().fordblks
