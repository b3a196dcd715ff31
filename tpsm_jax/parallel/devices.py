"""The devices of a run: what they are, and whether those of its processes match."""

import glob
import os
import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

import jax

from tpsm_jax.errors import InputError


def print_devices(devices: Sequence[jax.Device]) -> None:
    """Says on stderr of the first process what is computed on, and of a GPU that is not.

    Args:
      devices: the devices in use, of all processes.
    """
    if jax.process_index() > 0:
        return
    print(device_line(devices), file=sys.stderr)
    if all(device.platform == "cpu" for device in devices) and could_use_gpu(os.environ):
        print(
            "warning: this machine has an NVIDIA GPU, and JAX computes on the CPU: install JAX for "
            "it (pip install -e '.[cuda]'), or set JAX_PLATFORMS=cpu to do without",
            file=sys.stderr,
        )


def device_line(devices: Sequence[jax.Device]) -> str:
    """Counts devices by their kind: "devices: 16 x NVIDIA H200, of 2 processes"."""
    kinds = Counter(device.device_kind for device in devices)
    counts = ", ".join(f"{count} x {kind}" for kind, count in kinds.items())
    processes = len({device.process_index for device in devices})
    return f"devices: {counts}" + (f", of {processes} processes" if processes > 1 else "")


def could_use_gpu(environ: Mapping[str, str]) -> bool:
    """Whether there is an NVIDIA GPU, and nobody has chosen other devices.

    Args:
      environ: the environment's variables.
    """
    if jax.config.jax_platforms or "CUDA_VISIBLE_DEVICES" in environ:  # type: ignore[attr-defined]
        return False
    # A container without GPUs sees the driver in /proc, but no device. Windows' Linux has another.
    return bool(glob.glob("/dev/nvidia[0-9]*")) or (
        os.path.exists("/dev/dxg") and shutil.which("nvidia-smi") is not None
    )


def check_equal_counts(devices: Sequence[jax.Device]) -> None:
    """Makes sure that every process has as many devices as the others.

    Every process sees all devices and comes to the same answer, without a word between them. JAX's
    own collectives of host values fail where counts differ.

    Args:
      devices: those of all processes.

    Raises:
      InputError: the counts differ.
    """
    counts = Counter(device.process_index for device in devices)
    if len(set(counts.values())) > 1:
        listed = ", ".join(str(counts[process]) for process in sorted(counts))
        raise InputError(
            f"the processes have different numbers of devices ({listed}): give each the same, e.g. "
            "by CUDA_VISIBLE_DEVICES"
        )
