"""glibc's malloc: memory that a process on a CPU keeps from one batch to the next."""

import ctypes
import os
import sys

import jax

# Options of mallopt, glibc's malloc.h: no block is mapped by itself, free memory at the heap's end
# goes back to the system only beyond 2 GiB, and there is one heap.
_OPTIONS = {-4: 0, -1: 2**31 - 1, -8: 1}


def keep_freed_memory() -> None:
    """Makes this process keep the memory that it frees, where JAX's default backend is the CPU.

    XLA's convolutions ask for hundreds of MB a frame, and free them. glibc gives blocks back to
    the system that are larger than 32 MB, or smaller ones for a start, and the system fills them
    with zeros when they are asked for again: that takes 15 to 30 % of the time. The process then
    stays as large as it once was. Nothing happens where the C library is another, or where
    GLIBC_TUNABLES is set.
    """
    if sys.platform != "linux" or "GLIBC_TUNABLES" in os.environ:
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or jax.default_backend() != "cpu":
        return
    for option, value in _OPTIONS.items():
        mallopt(option, value)
