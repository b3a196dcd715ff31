"""FLOP of programs, counted before they are compiled."""

from collections.abc import Callable
from typing import Any

import jax

from tpsm_jax.backends.backend import backend, tracing_for
from tpsm_jax.errors import InputError


def count_flops(lowered: Any, lower: Callable[[], Any]) -> float:
    """FLOP of a program as it is written, not as it is compiled.

    Args:
      lowered: what `jax.jit(...).lower` returned.
      lower: lowers the program once more. It is called if the backend cannot count (GPU, TPU), with
        a CPU, which can, as the default device.
    """
    counted = lowered.cost_analysis()
    if counted is None:
        with jax.default_device(cpu_device()), tracing_for(backend()):
            counted = lower().cost_analysis()
    return counted.get("flops", 0)


def cpu_device() -> jax.Device:
    """A CPU device, whatever the default backend is.

    Raises:
      InputError: JAX_PLATFORMS leaves CPUs out.
    """
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError as error:
        raise InputError(
            "FLOP are counted by a CPU: name it too, JAX_PLATFORMS=cuda,cpu"
        ) from error
