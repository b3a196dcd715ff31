"""The memory that a compiled program takes, and what the host has."""

import os
from pathlib import Path
from typing import Any

import jax

from tpsm_jax.errors import InputError
from tpsm_jax.runtime.memory import REMEDIES


def check_program_fits(lowered: Any) -> None:
    """Compiles a program and refuses it where a CPU's memory cannot hold it.

    XLA's kernels end the process when the host has no more memory. On other devices it raises.

    Args:
      lowered: what `jax.jit(...).lower(...)` returned. A call of the same function with the same
        arguments takes the program that is compiled here.

    Raises:
      InputError: its results and intermediate values take more than is free.
    """
    if jax.default_backend() != "cpu":
        return
    program = lowered.compile()
    sizes = program.memory_analysis()
    if sizes is None:  # a program without a plan of its memory
        return
    # Devices of one host share its memory.
    shardings = jax.tree.leaves(program.input_shardings)
    devices = max((len(each.addressable_devices) for each in shardings), default=1)
    new = sizes.output_size_in_bytes - sizes.alias_size_in_bytes + sizes.temp_size_in_bytes
    needed, free = new * devices, free_memory()
    if needed > free:
        raise InputError(
            f"this takes {needed / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} are free: "
            f"{REMEDIES}"
        )


def free_memory() -> int:
    """Bytes of this host that a process may still take, swap included; at most its container's."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        kibibytes = {name: int(rest.split()[0]) for name, rest in (x.split(":") for x in lines)}
        limits = [1024 * (kibibytes["MemAvailable"] + kibibytes["SwapFree"])]
    except (OSError, KeyError, ValueError):  # not Linux
        pass
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limits.append(int(Path(path).read_text()))
        except (OSError, ValueError):  # no container, or "max": one without a limit
            continue
    return min(limits)
