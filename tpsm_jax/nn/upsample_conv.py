"""Nearest-neighbour upsampling by 2, then a 3x3 convolution, in the cheaper of two forms."""

import math
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from tpsm_jax.backends.backend import backend
from tpsm_jax.backends.convolution import convolve
from tpsm_jax.backends.plain_convolution import multiply
from tpsm_jax.nn.layers import Dtype, uniform_by_fan_in

Form = Literal["upsample", "products"]

# From how many pixels of an input picture on the folded kernel pays for its folding, by backend, as
# measured by benchmarks/studies/convolutions.py. Where nothing was measured, the plain form.
# Whatever the batch, because what is exported is for any.
PRODUCTS_PAY_FROM = {"cpu": 64}


class UpsampleConv(nn.Module):
    """conv3x3(nearest_x2(x)), with the parameters of a 3x3 `nn.Conv`.

    Along one axis, of the taps a, b and c, the two results above an input pixel are

        (a + b + c) x - a (x - left)    and    (a + b + c) x - c (x - right)

    with three multiplications of an input pixel. So along both axes nine do, by a kernel that is
    folded once, instead of 36: one matrix product of all pixels, and sums of its shifted parts.

    Attributes:
      features: channels out.
      form: "upsample" (as written first), "products" (as written above), or None for the one that
        was measured to be faster on the backend at this size.
      dtype: to compute in.
    """

    features: int
    form: Form | None = None
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Args: x: [B, H, W, C]. Returns: [B, 2H, 2W, features]."""
        initialize = uniform_by_fan_in(9 * x.shape[-1])
        kernel = self.param("kernel", initialize, (3, 3, x.shape[-1], self.features))
        bias = self.param("bias", initialize, (self.features,))
        form = self.form or _faster_form(x)
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        apply = _upsample_then_convolve if form == "upsample" else _add_products
        return apply(x, kernel) + bias.astype(self.dtype).reshape(1, 1, 1, -1)


def _faster_form(x: jax.Array) -> Form:
    pays_from = PRODUCTS_PAY_FROM.get(backend(), math.inf)
    return "products" if x.shape[1] * x.shape[2] >= pays_from else "upsample"


def _upsample_then_convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    upsampled = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
    return convolve(upsampled, kernel, padding=1)


def _add_products(x: jax.Array, kernel: jax.Array) -> jax.Array:
    batch, height, width, _ = x.shape
    wide = kernel.astype(jnp.promote_types(x.dtype, jnp.float32))
    folded = _fold(_fold(wide, 0), 1).astype(x.dtype)
    products = multiply("bhwc,ijcf->bhwijf", x, folded)
    rows = _join(*(products[..., i, :, :] for i in range(3)), axis=1)
    parts = [_join(*(row[..., j, :] for j in range(3)), axis=2) for row in rows]
    # [B, H, 2, W, 2, features]
    out = jnp.stack([jnp.stack(pair, axis=3) for pair in parts], axis=2)
    return out.reshape(batch, 2 * height, 2 * width, kernel.shape[-1]).astype(x.dtype)


def _fold(kernel: jax.Array, axis: int) -> jax.Array:
    """The first tap, the sum of all three, and the last."""
    first, middle, last = jnp.split(kernel, 3, axis)
    return jnp.concatenate([first, first + middle + last, last], axis)


def _join(
    first: jax.Array, whole: jax.Array, last: jax.Array, *, axis: int
) -> tuple[jax.Array, jax.Array]:
    """The two results above each pixel, of its products with the folded taps."""
    return whole - first + _shift(first, 1, axis), whole - last + _shift(last, -1, axis)


def _shift(x: jax.Array, by: int, axis: int) -> jax.Array:
    """Moves by a pixel forwards (1) or backwards (-1); zeros come in."""
    padding = [(0, 0, 0)] * x.ndim
    padding[axis] = (by, -by, 0)
    return jax.lax.pad(x, jnp.zeros((), x.dtype), padding)
