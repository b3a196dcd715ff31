"""What a process that trains on a CPU has to be told before JAX starts."""

import importlib.util
import os
import sys

_TUNABLES = "GLIBC_TUNABLES"
_MEMORY = {
    "mmap_max": 0,  # nothing that large is to go back to the system with every step,
    "trim_threshold": 2**40,  # nor the end of the heap,
    "arena_max": 1,  # of which there is to be one,
    "hugetlb": 1,  # in large pages
}
_FUSION = "xla_cpu_use_multi_output_fusion"


def prepare_cpu(*, join_loops: bool = True) -> None:
    """Makes training steps faster where JAX will take the CPU; to be called before JAX starts.

    XLA may join loops that read the same arrays, which it does not by itself: a flag that it reads
    when it starts. A user's own flags stay.

    XLA asks for all of a step's memory anew in every step, some GB for 256-pixel pictures. glibc
    hands them back and fetches them again, page by page, which takes a quarter of the time; and it
    can be told otherwise only before it starts. So on Linux, if GLIBC_TUNABLES is not set already,
    the running script is started anew, once.

    Args:
      join_loops: jaxlib 0.10.2 does so for training steps, and ends the process on some smaller
        programs, as grid sampling with its gradient to the picture alone.
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
    """Whether JAX will take the CPU; asked without starting JAX."""
    if platforms := os.environ.get("JAX_PLATFORMS"):
        return platforms == "cpu"
    return not any(importlib.util.find_spec(name) for name in ("jax_plugins", "libtpu"))
