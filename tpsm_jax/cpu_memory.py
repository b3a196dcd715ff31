"""Memory of a CPU kept from one training step to the next."""

import importlib.util
import os
import sys

_VARIABLE = "GLIBC_TUNABLES"
_SETTINGS = {
    "mmap_max": 0,  # nothing that large is to go back to the system with every step,
    "trim_threshold": 2**40,  # nor the end of the heap,
    "arena_max": 1,  # of which there is to be one,
    "hugetlb": 1,  # in large pages
}


def keep_freed_memory() -> None:
    """Starts the running script anew, once, so that it keeps the memory that it has freed.

    XLA asks for all of a step's memory anew in every step, some GB for 256-pixel pictures. On a CPU
    glibc hands them back and fetches them again, page by page, which takes a quarter of the time;
    and it can be told otherwise only before it starts. Nothing happens where there is another
    backend for JAX, another system than Linux, or GLIBC_TUNABLES is set already.
    """
    if sys.platform != "linux" or _VARIABLE in os.environ or not _on_cpu():
        return
    settings = ":".join(f"glibc.malloc.{name}={value}" for name, value in _SETTINGS.items())
    os.execve(sys.executable, sys.orig_argv, {**os.environ, _VARIABLE: settings})


def _on_cpu() -> bool:
    """Whether JAX will take the CPU; asked without starting JAX."""
    if platforms := os.environ.get("JAX_PLATFORMS"):
        return platforms == "cpu"
    return not any(importlib.util.find_spec(name) for name in ("jax_plugins", "libtpu"))
