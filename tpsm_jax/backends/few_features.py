"""Convolution to few features, as masks and pictures are made: by products with all taps at once.

XLA's routines for a CPU, and the detours of `convolution.py`, are made for many features.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from tpsm_jax.backends.plain_convolution import convolve_plainly, multiply

MOST = 16  # features; masks have 1, pictures 3, contribution maps 11


def suits(kernel: jax.Array) -> bool:
    """Whether a kernel makes so few features of so many channels that these ways pay."""
    size, _, channels, features = kernel.shape
    return features <= MOST and size * features < channels


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve_to_few(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    """Convolves float32 pictures; both gradients take a product each with the same values.

    Args:
      x: [B, H, W, C].
      kernel: [k, k, C, features].
      padding: zeros on each side, less than k.

    Returns:
      [B, H + 2 padding - k + 1, likewise, features].
    """
    if kernel.shape[-1] > 1:
        return convolve_plainly(x, kernel, 1, padding)
    # What each place adds to those around it, then the sums.
    size = kernel.shape[0]
    taps = kernel.reshape(size * size, -1)
    products = multiply("bhwc,tc->bhwt", x, taps)
    products = jnp.pad(products, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    height, width = (side - size + 1 for side in products.shape[1:3])
    total = jnp.zeros((), x.dtype)
    for tap in range(size * size):
        row, column = divmod(tap, size)
        total = total + products[:, row : row + height, column : column + width, tap]
    return total[..., None]


def _forward(x: jax.Array, kernel: jax.Array, padding: int) -> tuple[jax.Array, Any]:
    return convolve_to_few(x, kernel, padding), (x, kernel)


def _backward(padding: int, kept: Any, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    size, _, channels, features = kernel.shape
    height, width = x.shape[1:3]
    border = size - 1 - padding
    gradient = jnp.pad(gradient, ((0, 0), (border, border), (border, border), (0, 0)))
    # The gradient as each place of x meets it through each tap; made once, for both products.
    met = jax.lax.optimization_barrier(
        jnp.concatenate(
            [
                gradient[:, row : row + height, column : column + width]
                for row in reversed(range(size))
                for column in reversed(range(size))
            ],
            axis=-1,
        )
    )
    taps = kernel.swapaxes(2, 3).reshape(size * size * features, channels)
    of_x = multiply("bhwt,tc->bhwc", met, taps)
    of_kernel = multiply("bhwt,bhwc->tc", met, x).reshape(size, size, features, channels)
    return of_x, of_kernel.swapaxes(2, 3)


convolve_to_few.defvjp(_forward, _backward)
