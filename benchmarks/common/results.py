"""What every benchmark writes: the machine, the command, and rows of numbers as JSON."""

import argparse
import contextlib
import importlib.metadata
import json
import platform
import shlex
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from benchmarks.common.reference import ReferenceProcess
from tpsm_jax.cli import local_path
from tpsm_jax.runtime.atomic_files import replace_text
from tpsm_jax.runtime.cores import available_cores


def spread(name: str, rounds: Sequence[float]) -> dict[str, Any]:
    """A measured quantity as columns of a row: its median, `low`, `high`, and how many `rounds`.

    Args:
      name: the median's column.
      rounds: the quantity in each round.
    """
    return {
        name: statistics.median(rounds),
        "low": min(rounds),
        "high": max(rounds),
        "rounds": len(rounds),
    }


def headline(
    question: str, unit: str, ours: float, reference: float, ratios: Sequence[float]
) -> dict[str, Any]:
    """A row for the picture of all benchmarks.

    Args:
      question: what both codes were timed at.
      unit: the unit of `ours` and `reference`.
      ours: the project's median.
      reference: the official code's median.
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


def add_output_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --output, for `write_results`."""
    parser.add_argument(
        "--output", type=_results_file, metavar="FILE", help="JSON file to write the results to"
    )


def _results_file(text: str) -> Path:
    """A path that can be written to. Checked before minutes are spent on measuring."""
    path = local_path(text)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path} cannot be written: {error.strerror}") from error
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a folder")
    return path


def write_results(path: Path | None, rows: list[dict[str, Any]]) -> None:
    """Writes what a benchmark measured as JSON, with its command, the machine and the versions.

    Args:
      path: the value of --output. Nothing is written if it is None.
      rows: flat dicts; `headline` makes those for the picture of all benchmarks.
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
        "command": command_line(),
        "machine": describe_machine(),
        "cpu": _cpu_model(),
        "cores": available_cores(),
        "backend": device.platform,
        "device": device.device_kind,
        "devices": jax.device_count(),
        "versions": versions,
        "rows": rows,
    }
    replace_text(path, json.dumps(results, indent=2) + "\n")


def command_line() -> str:
    """The command that started this process, as a user types it in the project's root."""
    spec = sys.modules["__main__"].__spec__
    script = ["-m", spec.name] if spec else [sys.argv[0]]
    return shlex.join(["python", *script, *sys.argv[1:]])


def describe_machine() -> str:
    """Processor or accelerators, cores, and versions, in one line."""
    devices = jax.devices()
    name = devices[0].device_kind
    if devices[0].platform == "cpu":
        name = _cpu_model()
    elif len(devices) > 1:
        name = f"{len(devices)} x {name}"
    return (
        f"{name}, {available_cores()} cores, {platform.system()}, "
        f"Python {platform.python_version()}, jax {jax.__version__}"
    )


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor()
