"""Programs that the memory of a CPU's host cannot hold are refused before they run."""

from collections.abc import Callable, Hashable
from typing import Any

import jax

from tpsm_jax.errors import InputError
from tpsm_jax.runtime.host_memory import free_memory
from tpsm_jax.runtime.memory import REMEDIES


class FirstCalls:
    """Checks each of several programs once, before its first call."""

    def __init__(self) -> None:
        """Has checked none."""
        self._checked: set[Hashable] = set()

    def check(self, key: Hashable, lower: Callable[[], Any]) -> None:
        """Calls `check_program_fits(lower)` if it is the first call with this key."""
        if key not in self._checked:
            check_program_fits(lower)
            self._checked.add(key)


def check_program_fits(lower: Callable[[], Any]) -> None:
    """Compiles a program and refuses it where a CPU's memory cannot hold it.

    XLA's kernels end the process when the host has no more memory. On other devices it raises.

    Args:
      lower: returns what `jax.jit(...).lower(...)` does. A call of the same function with the same
        arguments takes the program that is compiled here.

    Raises:
      InputError: its results and intermediate values take more than is free.
    """
    if jax.default_backend() != "cpu":
        return
    program = lower().compile()
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
