"""XLA flags for training on an NVIDIA GPU, which must be set before JAX starts."""

import importlib.metadata
import importlib.util
import os

_OPTION = "--xla_backend_extra_options=-nvptx-allow-ftz-atomics"
_NEED_IT = ("0.10.2", "0.11.0")  # releases of jaxlib; another may not know it, and end the process
_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin")


def prepare_gpu() -> None:
    """Lets the GPU add floats in memory by its own instruction. Call it before JAX starts.

    The instruction takes sums below 1.2e-38 for 0, so two releases of jaxlib add in a loop of
    compare and swap instead. That is hundreds of times slower where many add to one place, as
    gradients of grid sampling do to a pixel (jax issue 38806). Release 0.11.2 is fast again. A
    user's own options stay.
    """
    platforms = (os.environ.get("JAX_PLATFORMS") or "cuda").split(",")
    flags = os.environ.get("XLA_FLAGS", "")
    if (
        {"cuda", "gpu"} & set(platforms)
        and any(importlib.util.find_spec(name) for name in _PLUGINS)
        and importlib.metadata.version("jaxlib") in _NEED_IT
        and "xla_backend_extra_options" not in flags
    ):
        os.environ["XLA_FLAGS"] = f"{flags} {_OPTION}".lstrip()
