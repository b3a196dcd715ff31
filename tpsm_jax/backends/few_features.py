"""Convolution to few features, as for masks and pictures: matmuls with all taps at once.

XLA's CPU routines and the other forms of `convolution.py` are made for many features.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from tpsm_jax.backends import thresholds
from tpsm_jax.backends.matmul_convolution import shifted
from tpsm_jax.backends.plain_convolution import convolve_plain
from tpsm_jax.backends.precision import wide_einsum


def is_few_features(kernel: jax.Array) -> bool:
    """Returns whether a kernel [k, k, C, features] makes so few features that this form pays."""
    size, _, channels, features = kernel.shape
    return features <= thresholds.FEW_FEATURES and size * features < channels


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve_to_few(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    """Convolves float32 pictures; each gradient is one matmul with the same shifted values.

    Args:
      x: [B, H, W, C].
      kernel: [k, k, C, features].
      padding: zeros on each side, less than k.

    Returns:
      [B, H + 2 padding - k + 1, W + 2 padding - k + 1, features].
    """
    if kernel.shape[-1] > 1:
        return convolve_plain(x, kernel, 1, padding)
    # First the contribution of every position to each neighbor, then the sums.
    size = kernel.shape[0]
    taps = kernel.reshape(size * size, -1)
    products = wide_einsum("bhwc,tc->bhwt", x, taps)
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
    # The gradient that each position of x receives through each tap. The barrier makes XLA compute
    # it once for both matmuls.
    received = jax.lax.optimization_barrier(
        jnp.concatenate(shifted(gradient, size, size - 1 - padding)[::-1], axis=-1)
    )
    taps = kernel.swapaxes(2, 3).reshape(size * size * features, channels)
    of_x = wide_einsum("bhwt,tc->bhwc", received, taps)
    of_kernel = wide_einsum("bhwt,bhwc->tc", received, x).reshape(size, size, features, channels)
    return of_x, of_kernel.swapaxes(2, 3)


convolve_to_few.defvjp(_forward, _backward)
