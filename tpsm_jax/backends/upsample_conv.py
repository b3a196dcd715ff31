"""Nearest-neighbor upsampling by 2, then a 3x3 convolution.

Along one axis, with the taps a, b and c, the two results above an input pixel x are

    (a + b + c) x - a (x - left)    and    (a + b + c) x - c (x - right)

which takes three multiplications of an input pixel. Along both axes that is nine in place of 36,
with a kernel that is folded once: one matmul of all pixels, then sums of its shifted parts.
"""

import math

import jax
import jax.numpy as jnp

from tpsm_jax.backends import thresholds
from tpsm_jax.backends.backend import backend
from tpsm_jax.backends.convolution import convolve
from tpsm_jax.backends.precision import wide_einsum


def upsample_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Computes conv3x3(nearest_x2(x)), padded by one zero on each side, in the type of `x`.

    Args:
      x: [B, H, W, C].
      kernel: [3, 3, C, features].

    Returns:
      [B, 2H, 2W, features].
    """
    # The size decides and the batch does not: an exported program takes any batch.
    if x.shape[1] * x.shape[2] >= thresholds.UPSAMPLE_MATMUL_PIXELS.get(backend(), math.inf):
        return upsample_conv_by_products(x, kernel)
    return upsample_then_convolve(x, kernel)


def upsample_then_convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Computes `upsample_conv` step by step: the plain form, where `convolve` is plain."""
    upsampled = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
    return convolve(upsampled, kernel, padding=1)


def upsample_conv_by_products(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Computes `upsample_conv` by one matmul with the folded kernel."""
    batch, height, width, _ = x.shape
    wide = kernel.astype(jnp.promote_types(x.dtype, jnp.float32))
    folded = _fold(_fold(wide, 0), 1).astype(x.dtype)
    products = wide_einsum("bhwc,ijcf->bhwijf", x, folded)
    rows = _join(*(products[..., i, :, :] for i in range(3)), axis=1)
    parts = [_join(*(row[..., j, :] for j in range(3)), axis=2) for row in rows]
    # [B, H, 2, W, 2, features]
    out = jnp.stack([jnp.stack(pair, axis=3) for pair in parts], axis=2)
    return out.reshape(batch, 2 * height, 2 * width, kernel.shape[-1]).astype(x.dtype)


def _fold(kernel: jax.Array, axis: int) -> jax.Array:
    """Returns the first tap, the sum of all three, and the last."""
    first, middle, last = jnp.split(kernel, 3, axis)
    return jnp.concatenate([first, first + middle + last, last], axis)


def _join(
    first: jax.Array, whole: jax.Array, last: jax.Array, *, axis: int
) -> tuple[jax.Array, jax.Array]:
    """Returns the two results above each pixel, from its products with the folded taps."""
    return whole - first + _shift(first, 1, axis), whole - last + _shift(last, -1, axis)


def _shift(x: jax.Array, by: int, axis: int) -> jax.Array:
    """Shifts by one pixel forward (1) or backward (-1) and fills with zeros."""
    padding = [(0, 0, 0)] * x.ndim
    padding[axis] = (by, -by, 0)
    return jax.lax.pad(x, jnp.zeros((), x.dtype), padding)
