"""Memory: what can be foreseen not to fit, and which errors mean that there was too little."""

import errno

from tpsm_jax.errors import InputError
from tpsm_jax.runtime.host_memory import total_memory

REMEDIES = (
    "take a smaller --batch_size, a smaller --size, or --dtype bfloat16; in "
    "training a smaller --config.train_params.batch_size, --config.compute_dtype=bfloat16, "
    "--config.remat=\"('vgg19',)\" or more --config.accumulate_steps"
)
OUT_OF_MEMORY = f"out of memory: {REMEDIES}; nothing was left half-written"
# Names of the errors of XLA (in two versions) and of TensorFlow, neither of which is imported here.
_DEVICE_ERRORS = ("XlaRuntimeError", "JaxRuntimeError", "ResourceExhaustedError")
_DEVICE_WORDS = ("RESOURCE_EXHAUSTED", "out of memory", "bad_alloc", "OOM when allocating")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or what caused it, is that memory of the host or of a device ran out."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MemoryError):
            return True
        if isinstance(seen, OSError) and seen.errno == errno.ENOMEM:
            return True
        text = str(seen).lower()
        if type(seen).__name__ in _DEVICE_ERRORS and any(w.lower() in text for w in _DEVICE_WORDS):
            return True
        # `raise ... from None` says that the one before means something else: a damaged file.
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return False


def check_pictures_fit(count: int, height: int, width: int, *, change: str) -> None:
    """Refuses pictures that fill all memory by themselves: XLA might end the process.

    Args:
      count: RGB pictures in float32 that a device holds at a time.
      height: their height in pixels.
      width: their width in pixels.
      change: the settings that make it smaller, for the error.

    Raises:
      InputError: they take more than this machine has.
    """
    needed = count * height * width * 3 * 4
    there = total_memory()
    if needed > there:
        raise InputError(
            f"{count} pictures of {height} x {width} take {needed / 2**30:.0f} GiB, and this "
            f"machine has {there / 2**30:.0f}: take a smaller {change}"
        )
