"""The number of CPU cores for this process."""

import os


def available_cores() -> int:
    """How many cores this process may run on, at least 1."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
