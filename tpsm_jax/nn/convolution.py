"""Convolution of pictures, with detours where XLA is slow on a CPU; elsewhere it is XLA's own.

What pays was measured, see docs/benchmarks.md.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

_NHWC = ("NHWC", "HWIO", "NHWC")
# From how many input values on the gradient of a kernel is worth the copies that it takes.
_KERNEL_GRADIENT_PAYS_ABOVE = 2**18


def precision_of(dtype: Any) -> jax.lax.Precision | None:
    """float32 means float32, on every backend; who wants speed asks for bfloat16 by name."""
    return jax.lax.Precision.HIGHEST if dtype == jnp.float32 else None


def convolve(x: jax.Array, kernel: jax.Array, *, strides: int = 1, padding: int) -> jax.Array:
    """Convolves, in the type of `x`.

    Args:
      x: [B, H, W, C].
      kernel: [k, k, C, features].
      strides: along both axes.
      padding: zeros on each side.

    Returns:
      [B, (H + 2 padding - k) // strides + 1, likewise, features].
    """
    size, sides = kernel.shape[0], x.shape[1:3]
    if jax.default_backend() != "cpu" or strides != 1:
        return _convolve(x, kernel, strides, padding)
    if min(sides) < size:
        return _convolve_small(x, kernel, padding)
    if x.dtype == jnp.float32 and x.size > _KERNEL_GRADIENT_PAYS_ABOVE:
        return _convolve_large(x, kernel, padding)
    return _convolve(x, kernel, strides, padding)


def _convolve(x: jax.Array, kernel: jax.Array, strides: int, padding: int) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(strides, strides),
        padding=((padding, padding), (padding, padding)),
        dimension_numbers=_NHWC,
        precision=precision_of(x.dtype),
    )


def _convolve_small(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    """By one matrix product.

    For pictures smaller than the kernel XLA leaves its fast routine and takes a plain loop, 80
    times as slow for 2x2 pictures of 512 channels.
    """
    size = kernel.shape[0]
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    height, width = (side - size + 1 for side in x.shape[1:3])
    # Every place's neighbourhood side by side, in the order of the kernel's axes.
    patches = jnp.concatenate(
        [
            x[:, row : row + height, column : column + width]
            for row in range(size)
            for column in range(size)
        ],
        axis=-1,
    )
    kernel = kernel.reshape(-1, kernel.shape[-1])
    return jnp.matmul(patches, kernel, precision=precision_of(x.dtype))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve_large(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    """With the gradient of the kernel by matrix products.

    XLA writes it as a convolution whose window is the whole picture, and takes five times as long.
    """
    return _convolve(x, kernel, 1, padding)


def _forward(x: jax.Array, kernel: jax.Array, padding: int) -> tuple[jax.Array, Any]:
    return _convolve(x, kernel, 1, padding), (x, kernel)


def _backward(padding: int, kept: Any, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    (of_x,) = jax.vjp(lambda x: _convolve(x, kernel, 1, padding), x)[1](gradient)
    return of_x, _kernel_gradient(x, gradient, kernel.shape[0], padding)


_convolve_large.defvjp(_forward, _backward)


def _kernel_gradient(x: jax.Array, gradient: jax.Array, size: int, padding: int) -> jax.Array:
    """[k, k, C, features] of x [B, H, W, C] and the gradient of what it was convolved to."""
    channels, (width, features) = x.shape[-1], gradient.shape[2:]
    # Channels first, as a matrix product wants its first factor; the barrier has it turned once.
    x = jax.lax.optimization_barrier(jnp.moveaxis(x, -1, 0))
    x = jnp.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    # Columns are shifted in x, side by side; rows in the gradient, one after the other.
    shifted = jnp.concatenate([x[..., i : i + width] for i in range(size)])
    rows = []
    for row in range(size):
        moved = jnp.pad(gradient, ((0, 0), (row, size - 1 - row), (0, 0), (0, 0)))
        rows.append(jnp.einsum("ibhw,bhwj->ij", shifted, moved, precision=precision_of(x.dtype)))
    return jnp.stack(rows).reshape(size, size, channels, features)
