"""The library in float64, for comparisons that rounding to float32 would blur."""

import contextlib
import functools
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp

from tpsm_jax.models import avd_network
from tpsm_jax.nn.batch_norm import BatchNorm

_CONVOLVE = jax.lax.conv_general_dilated
# Of numbers, in a convolution that XLA's slow routine may compute.
_FEW_PRODUCTS = 10_000_000


class _Double:
    """NumPy or jax.numpy, whose float32 is float64."""

    def __init__(self, module: Any):
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, "float64" if name == "float32" else name)


@contextlib.contextmanager
def double_precision() -> Iterator[None]:
    """Within, every module of the library says float64 where it says float32.

    What was imported before keeps its constants and default arguments: networks are to be built
    with their `dtype` given, for trainers by `compute_dtype`, and variables in float64.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(jax.enable_x64(True))
        for name, module in list(sys.modules.items()):
            for alias in ("np", "jnp"):
                if name.startswith("tpsm_jax.") and hasattr(module, alias):
                    double = _Double(getattr(module, alias))
                    stack.enter_context(mock.patch.object(module, alias, double))
        # Its normalizations are the only layers whose type nobody gives.
        batch_norm = functools.partial(BatchNorm, jnp.float64)
        stack.enter_context(mock.patch.object(avd_network, "BatchNorm", batch_norm))
        stack.enter_context(mock.patch.object(jax.lax, "conv_general_dilated", _convolve))
        yield


def to_double(tree: Any) -> Any:
    """Float arrays of a tree in float64, and shapes as zeros; others as they are."""

    def convert(leaf: Any) -> jax.Array:
        dtype = jnp.float64 if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf.dtype
        if isinstance(leaf, jax.ShapeDtypeStruct):
            return jnp.zeros(leaf.shape, dtype)
        return jnp.asarray(leaf, dtype)

    return jax.tree.map(convert, tree)


def _convolve(
    x: jax.Array,
    kernel: jax.Array,
    window_strides: tuple[int, int],
    padding: Any,
    **options: Any,
) -> jax.Array:
    """`jax.lax.conv_general_dilated`, for which XLA has no fast routine in float64 on a CPU.

    One matrix product of all that the kernel meets at every place, gathered in the order of its
    axes. XLA's own compiles faster and is taken for what is small; but 1x1 kernels need no
    gathering, and XLA's gradient of one with strides is the slowest of all.
    """
    stride, size = window_strides[0], kernel.shape[0]
    if size > 1 and x.size // stride**2 * kernel[..., 0, :].size <= _FEW_PRODUCTS:
        return _CONVOLVE(x, kernel, window_strides, padding, **options)
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))

    def gather(x: jax.Array, axis: int) -> jax.Array:
        places = x.shape[axis] - size + 1
        slices = [jax.lax.slice_in_dim(x, i, i + places, stride, axis) for i in range(size)]
        return jnp.concatenate(slices, axis=-1)

    return gather(gather(x, 2), 1) @ kernel.reshape(-1, kernel.shape[3])
