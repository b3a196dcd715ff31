"""What the benchmarks share: machine, memory, results as JSON, and the official code's process."""

import contextlib
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax

from tpsm_jax.errors import InputError
from tpsm_jax.replace_file import replace_text


class ReferenceProcess:
    """Runs the official code, by one of the workers beside this file.

    Attributes:
      name: what the worker says of itself: "torch VERSION" and how, or another runtime.
      torch_version: of the one started last, for all of them have the same.
    """

    torch_version: str | None = None

    def __init__(self, command: list[str]):
        # As a user would start it: what the project's scripts set for themselves is not handed on.
        environ = {key: value for key, value in os.environ.items() if key != "GLIBC_TUNABLES"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
        )
        self.name = self._answer()
        if self.name.startswith("torch "):
            ReferenceProcess.torch_version = self.name.split()[1].rstrip(",")

    def ask(self, *numbers: float) -> list[float]:
        """Sends a line of numbers, and waits for the line of numbers that answers it."""
        assert self._process.stdin is not None
        # Where it has ended, its answer is missing, too.
        with contextlib.suppress(BrokenPipeError):
            print(*numbers, file=self._process.stdin, flush=True)
        return [float(number) for number in self._answer().split()]

    def _answer(self) -> str:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise InputError("the official code ended; what it said is above")
        return line.strip()

    def __enter__(self) -> "ReferenceProcess":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended already
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


def write_results(path: str | None, *, command: str, rows: list[dict[str, Any]]) -> None:
    """Writes what a benchmark measured as JSON, with the machine and the versions.

    Args:
      path: of the file; its folder is made. Nothing is written if None.
      command: that measured it.
      rows: flat. One for the picture of all benchmarks has "headline": true, the "question" that it
        answers, "ours" and "reference" with their "unit", and "ratio", "ratio_low" and
        "ratio_high": how many times as fast ours is, the median and the extremes of all rounds.
    """
    if path is None:
        return
    versions = {"python": platform.python_version()}
    for package in ("jax", "jaxlib", "flax", "numpy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            # The detectors' environment has no flax.
            versions[package] = importlib.metadata.version(package)
    if ReferenceProcess.torch_version:
        versions["torch"] = ReferenceProcess.torch_version
    device = jax.devices()[0]
    results = {
        "command": command,
        "machine": describe_machine(),
        "cpu": _cpu_model(),
        "cores": _cores(),
        "backend": device.platform,
        "device": device.device_kind,
        "devices": jax.device_count(),
        "versions": versions,
        "rows": rows,
    }
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    replace_text(Path(path), json.dumps(results, indent=2) + "\n")


def describe_machine() -> str:
    """Processor or accelerators, cores, and versions."""
    devices = jax.devices()
    name = devices[0].device_kind
    if devices[0].platform == "cpu":
        name = _cpu_model()
    elif len(devices) > 1:
        name = f"{len(devices)} x {name}"
    return (
        f"{name}, {_cores()} cores, {platform.system()}, Python {platform.python_version()}, "
        f"jax {jax.__version__}"
    )


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor()


def _cores() -> int | None:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
