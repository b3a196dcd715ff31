"""FLOP of programs, counted before they are compiled."""

from collections.abc import Callable
from typing import Any

import jax

from tpsm_jax.backends.backend import backend, tracing_for
from tpsm_jax.errors import InputError


def count_flops(lowered: Any, lower: Callable[[], Any]) -> float:
    """FLOP of a program as it is written, not as it is compiled.

    Args:
      lowered: of `jax`.
      lower: lowers it once more; called where the backend cannot count (GPU, TPU), with a CPU as
        the default, which can.
    """
    counted = lowered.cost_analysis()
    if counted is None:
        with jax.default_device(cpu_device()), tracing_for(backend()):
            counted = lower().cost_analysis()
    return counted.get("flops", 0)


def cpu_device() -> jax.Device:
    """A CPU beside whatever else there is.

    Raises:
      InputError: JAX was told to leave it alone.
    """
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError as error:
        raise InputError(
            "FLOP are counted by a CPU: name it too, JAX_PLATFORMS=cuda,cpu"
        ) from error
