"""XLA flags and malloc settings for training on a CPU, which must be set before JAX starts."""

import importlib.util
import os
import sys

_TUNABLES = "GLIBC_TUNABLES"
_MEMORY = {
    "mmap_max": 0,  # no block is mapped by itself, which would be unmapped with every step
    "trim_threshold": 2**40,  # the end of the heap is never returned
    "arena_max": 1,  # one heap
    "hugetlb": 1,  # large pages
}
_FUSION = "xla_cpu_use_multi_output_fusion"


def prepare_cpu(*, join_loops: bool = True) -> None:
    """Makes training steps faster where JAX will use the CPU. Call it before JAX starts.

    Lets XLA fuse loops that read the same arrays, by a flag that it reads when it starts. A user's
    own flags stay.

    XLA allocates all of a step's memory in every step, some GB for 256-pixel pictures. glibc
    returns it to the system and fetches it again, page by page, which takes a quarter of the time,
    and that can be changed only before a process starts. So on Linux, if GLIBC_TUNABLES is not set,
    the running script is started again, once.

    Args:
      join_loops: set the flag. jaxlib 0.10.2 fuses training steps with it, and crashes on some
        smaller programs, e.g. grid sampling with its gradient to the picture alone.
    """
    if not _on_cpu():
        return
    flags = os.environ.get("XLA_FLAGS", "")
    if join_loops and "xla_backend_extra_options" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --xla_backend_extra_options={_FUSION}=true".lstrip()
    if sys.platform == "linux" and _TUNABLES not in os.environ:
        settings = ":".join(f"glibc.malloc.{name}={value}" for name, value in _MEMORY.items())
        os.execve(sys.executable, sys.orig_argv, {**os.environ, _TUNABLES: settings})


def _on_cpu() -> bool:
    """Whether JAX will use the CPU, without starting JAX."""
    if platforms := os.environ.get("JAX_PLATFORMS"):
        return platforms == "cpu"
    return not any(importlib.util.find_spec(name) for name in ("jax_plugins", "libtpu"))
