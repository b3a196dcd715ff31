"""The peak memory of a process. Workers import this file too: the standard library alone."""

import resource
import sys
from pathlib import Path


def peak_rss_mib() -> float:
    """The largest resident set of this process so far, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: on Linux a new process starts with the peak of its parent.
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
