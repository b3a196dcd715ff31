"""What the benchmarks share: the machine, the memory, and the process of the official code."""

import os
import platform
import resource
import subprocess
import sys
from pathlib import Path

import jax


class ReferenceProcess:
    """Runs the official code, by one of the workers beside this file."""

    def __init__(self, command: list[str]):
        # As a user would start it: what the project's scripts set for themselves is not handed on.
        environ = {key: value for key, value in os.environ.items() if key != "GLIBC_TUNABLES"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
        )
        self.name = self._answer()

    def ask(self, *numbers: float) -> list[float]:
        """Sends a line of numbers, and waits for the line of numbers that answers it."""
        assert self._process.stdin is not None
        print(*numbers, file=self._process.stdin, flush=True)
        return [float(number) for number in self._answer().split()]

    def _answer(self) -> str:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise RuntimeError("the reference ended; what it said is above")
        return line.strip()

    def __enter__(self) -> "ReferenceProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # closes its input, which ends it


def peak_rss_mib() -> float:
    """The most memory that this process itself has had resident."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: on Linux a new process begins with the peak of the one that started it.
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def describe_machine() -> str:
    """Processor or accelerators, cores, and versions."""
    devices = jax.devices()
    name = devices[0].device_kind
    if devices[0].platform == "cpu":
        try:
            lines = Path("/proc/cpuinfo").read_text().splitlines()
            name = next(line.split(":")[1].strip() for line in lines if "model name" in line)
        except (OSError, StopIteration):
            name = platform.processor()
    elif len(devices) > 1:
        name = f"{len(devices)} x {name}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{name}, {cores} cores, {platform.system()}, Python {platform.python_version()}, "
        f"jax {jax.__version__}"
    )
