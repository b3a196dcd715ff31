"""What the benchmarks share: machine, memory, results as JSON, and the official code's process."""

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from tpsm_jax.errors import InputError
from tpsm_jax.runtime.atomic_files import replace_text

# The official code needs the memory of an accelerator, too. Read when JAX starts.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


class ReferenceProcess:
    """Runs the official code, by a worker of benchmarks/official.

    Attributes:
      name: what the worker says of itself when it is ready: "torch VERSION" or another, and how.
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


def add_reference_flags(parser: argparse.ArgumentParser, *, config: bool = True) -> None:
    """Adds the flags for `reference_command`, and for `official_config` if it is called."""
    parser.add_argument("--reference", help="checkout of the official PyTorch code")
    parser.add_argument(
        "--reference_python", default=sys.executable, help="a Python that has torch"
    )
    if config:
        parser.add_argument(
            "--reference_config", help="its YAML file, if not that of the same config"
        )


def reference_command(args: argparse.Namespace, worker: str) -> list[str]:
    """The command that starts a worker of benchmarks/official; see `ReferenceProcess`.

    Args:
      args: with the flags of `add_reference_flags`.
      worker: the name of its module.

    Raises:
      InputError: --reference is no checkout of the official code.
    """
    if not Path(args.reference, "modules").is_dir():
        raise InputError(f"{args.reference} is no checkout of the official code: no modules/")
    module = f"benchmarks.official.{worker}"
    return [args.reference_python, "-W", "ignore", "-m", module, "--reference", args.reference]


def official_config(args: argparse.Namespace, config: str = "configs/vox256.py") -> str:
    """The official YAML file: of --reference_config, else the one of a config's name.

    Raises:
      InputError: there is no such file.
    """
    name = re.sub(r"(\d+)$", r"-\1", Path(config).stem)  # vox256 -> vox-256
    yaml = args.reference_config or f"{args.reference}/config/{name}.yaml"
    if not Path(yaml).is_file():
        raise InputError(f"there is no {yaml}: give --reference_config")
    return yaml


def headline(
    question: str, unit: str, ours: float, reference: float, ratios: Sequence[float]
) -> dict[str, Any]:
    """A row for the picture of all benchmarks.

    Args:
      question: that both codes were asked.
      unit: of what they made of it.
      ours: the project's median.
      reference: the official code's.
      ratios: how many times as fast ours was, in each round.
    """
    return {
        "headline": True,
        "question": question,
        "ours": ours,
        "reference": reference,
        "unit": unit,
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
    }


def peak_rss_mib() -> float:
    """The most memory that this process itself has had resident."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: on Linux a new process begins with the peak of the one that started it.
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def add_output_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --output, for `write_results`."""
    parser.add_argument(
        "--output", type=_results_file, metavar="FILE", help="JSON file to write the results to"
    )


def _results_file(text: str) -> Path:
    """Tried before minutes are spent on what is to be written there."""
    path = Path(text)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path} cannot be written: {error.strerror}") from error
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a folder")
    return path


def write_results(path: Path | None, *, command: str, rows: list[dict[str, Any]]) -> None:
    """Writes what a benchmark measured as JSON, with the machine and the versions.

    Args:
      path: of the file, as --output has it. Nothing is written if None.
      command: that measured it.
      rows: flat; those for the picture of all benchmarks by `headline`.
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
    replace_text(path, json.dumps(results, indent=2) + "\n")


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
