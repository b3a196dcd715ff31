"""Convolution of pictures, with detours where XLA is slow on a CPU; elsewhere it is XLA's own.

What pays was measured, see docs/benchmarks.md. The detours are differentiated backwards only, not
forwards (`jax.jvp`).
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from tpsm_jax.backends import few_features
from tpsm_jax.backends.backend import backend
from tpsm_jax.backends.plain_convolution import convolve_plainly, multiply
from tpsm_jax.backends.winograd import winograd

# In float32: of how many pixels, and from how many channels on, in and out, Winograd's way gains
# enough for the time that it takes to compile.
WINOGRAD_PIXELS = (32 * 32, 128 * 128)
WINOGRAD_CHANNELS = 256
# Likewise in bfloat16, for which XLA has fast products (with AMX, where this was measured) and no
# convolution of its own, ...
BFLOAT16_WINOGRAD_PIXELS = (16 * 16, 128 * 128)
BFLOAT16_WINOGRAD_CHANNELS = 128
# ... and up to how many pixels one product is faster still.
BFLOAT16_SMALL = 8 * 8
# From how many input values on a matrix product computes the gradient of a kernel, ...
LARGE_PICTURE = 2**17
# ... and from how many times a picture's size on a kernel is not to be turned.
LARGE_KERNEL = 32


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
    if backend() != "cpu" or strides != 1:
        return convolve_plainly(x, kernel, strides, padding)
    if x.dtype == jnp.bfloat16:
        small = sides[0] * sides[1] <= BFLOAT16_SMALL and padding < size
        if small or _suits_winograd(x, kernel, padding):
            return _convolve_differently_backwards(x, kernel, padding)
        # As XLA does by itself; but there are more ways in float32.
        wide = (array.astype(jnp.float32) for array in (x, kernel))
        return convolve(*wide, padding=padding).astype(x.dtype)
    if min(sides) < size:
        return _convolve_small(x, kernel, padding)
    if padding < size and few_features.suits(kernel):
        return few_features.convolve_to_few(x, kernel, padding)
    return _convolve_differently_backwards(x, kernel, padding)


def _convolve_small(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    """By one matrix product, which is XLA's fast routine for bfloat16.

    In float32 it leaves its fast routine for pictures smaller than the kernel and takes a plain
    loop, 80 times as slow for 2x2 pictures of 512 channels.
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
    return multiply("bhwc,cf->bhwf", patches, kernel).astype(x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve_differently_backwards(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    """With gradients by matrix products where XLA's own are slow; bfloat16 by products alone."""
    if _suits_winograd(x, kernel, padding):
        return winograd(x, kernel)
    if x.dtype == jnp.bfloat16:
        return _convolve_small(x, kernel, padding)
    return convolve_plainly(x, kernel, 1, padding)


def _suits_winograd(x: jax.Array, kernel: jax.Array, padding: int) -> bool:
    # By the picture and not by the batch, so that a frame is the same in any.
    _, height, width, _ = x.shape
    size, _, *channels = kernel.shape
    least, most = WINOGRAD_PIXELS
    fewest = WINOGRAD_CHANNELS
    if x.dtype == jnp.bfloat16:
        (least, most), fewest = BFLOAT16_WINOGRAD_PIXELS, BFLOAT16_WINOGRAD_CHANNELS
    return (
        (size, padding) == (3, 1)
        and height % 2 == width % 2 == 0
        and least <= height * width <= most
        and min(channels) >= fewest
    )


def _forward(x: jax.Array, kernel: jax.Array, padding: int) -> tuple[jax.Array, Any]:
    return _convolve_differently_backwards(x, kernel, padding), (x, kernel)


def _backward(padding: int, kept: Any, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    by_products = x.dtype == jnp.bfloat16
    _, pull = jax.vjp(lambda x, kernel: convolve_plainly(x, kernel, 1, padding), x, kernel)
    of_x, of_kernel = pull(gradient)
    if _suits_winograd(x, kernel, padding):
        of_x = winograd(gradient, kernel, transposed=True)
    elif by_products or kernel.size > LARGE_KERNEL * gradient.size:
        of_x = _input_gradient(gradient, kernel, padding)
    if by_products or x.size > LARGE_PICTURE:
        of_kernel = _kernel_gradient(x, gradient, kernel.shape[0], padding)
    return of_x, of_kernel


_convolve_differently_backwards.defvjp(_forward, _backward)


def _input_gradient(gradient: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    """[B, H, W, C] of x; XLA turns the kernel for it, which may take ten times as long."""
    size, _, channels, features = kernel.shape
    border = size - 1 - padding
    gradient = jnp.pad(gradient, ((0, 0), (border, border), (border, border), (0, 0)))
    height, width = (side - size + 1 for side in gradient.shape[1:3])
    # The gradient as each of the kernel's taps meets it, and what comes of it.
    moved = jnp.stack(
        [
            gradient[:, row : row + height, column : column + width]
            for row in reversed(range(size))
            for column in reversed(range(size))
        ]
    )
    taps = kernel.reshape(size * size, channels, features)
    return multiply("tbhwf,tcf->tbhwc", moved, taps).sum(0).astype(gradient.dtype)


def _kernel_gradient(x: jax.Array, gradient: jax.Array, size: int, padding: int) -> jax.Array:
    """[k, k, C, features]; XLA convolves with a window as large as the picture, five times slower.

    Args:
      x: [B, H, W, C], what was convolved.
      gradient: of what it was convolved to, [B, H', W', features].
      size: k.
      padding: zeros that were on each side of x.
    """
    channels, (width, features) = x.shape[-1], gradient.shape[2:]
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    # Columns are shifted in x, side by side; rows in the gradient, one after the other. The barrier
    # has the first made once, for all rows.
    columns = jax.lax.optimization_barrier(
        jnp.concatenate([x[:, :, i : i + width] for i in range(size)], axis=-1)
    )
    rows = []
    for row in range(size):
        moved = jnp.pad(gradient, ((0, 0), (row, size - 1 - row), (0, 0), (0, 0)))
        rows.append(multiply("bhwi,bhwj->ij", columns, moved))
    return jnp.stack(rows).reshape(size, size, channels, features).astype(x.dtype)
