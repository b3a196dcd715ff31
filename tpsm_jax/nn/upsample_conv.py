"""Nearest-neighbour upsampling by 2, then a 3x3 convolution, in the cheaper of two forms."""

import math
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from tpsm_jax.nn.convolution import convolve
from tpsm_jax.nn.layers import Dtype, uniform_by_fan_in

Form = Literal["upsample", "phases"]

# From how many input pixels (batch included) the folded kernel pays for its folding, by backend, as
# measured by benchmarks/upsample_conv.py. Where nothing was measured, the plain form.
PHASES_PAY_FROM = {"cpu": 256}


class UpsampleConv(nn.Module):
    """conv3x3(nearest_x2(x)), with the parameters of a 3x3 `nn.Conv`.

    Every output pixel sees only 2x2 different input pixels, so the 3x3 kernel folds into four 2x2
    kernels, one for each position (phase) of an output pixel within its input pixel: the same
    result with 2.25 times fewer multiplications, as one convolution with four times the features.

    Attributes:
      features: channels out.
      form: "upsample" (as written above), "phases" (four 2x2 kernels), or None for the one that
        was measured to be faster on the default backend at this size.
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
        x = x.astype(self.dtype)
        apply = _upsample_then_convolve if form == "upsample" else _convolve_in_phases
        return apply(x, kernel, self.dtype) + bias.astype(self.dtype).reshape(1, 1, 1, -1)


def _faster_form(x: jax.Array) -> Form:
    pays_from = PHASES_PAY_FROM.get(jax.default_backend(), math.inf)
    return "phases" if x.size // x.shape[-1] >= pays_from else "upsample"


def _upsample_then_convolve(x: jax.Array, kernel: jax.Array, dtype: Dtype) -> jax.Array:
    upsampled = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
    return convolve(upsampled, kernel.astype(dtype), padding=1)


def _convolve_in_phases(x: jax.Array, kernel: jax.Array, dtype: Dtype) -> jax.Array:
    batch, height, width, _ = x.shape
    features = kernel.shape[-1]
    phases = [_fold(_fold(kernel, 0, p), 1, q) for p in range(2) for q in range(2)]
    folded = jnp.concatenate(phases, axis=-1).astype(dtype)
    # A border of one pixel makes one window too many along each axis: the last is phase 0's to
    # drop, the first phase 1's. The barrier keeps the border out of the convolution: for the
    # gradient of a small kernel XLA would otherwise leave its fast routine, at 20 times the time.
    bordered = jax.lax.optimization_barrier(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))))
    windows = convolve(bordered, folded, padding=0)
    windows = windows.reshape(batch, height + 1, width + 1, 2, 2, features)
    rows = [
        jnp.stack([windows[:, p : p + height, q : q + width, p, q] for q in range(2)], axis=3)
        for p in range(2)
    ]
    # [B, H, 2, W, 2, features]: each phase beside its neighbours.
    return jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, features)


def _fold(kernel: jax.Array, axis: int, phase: int) -> jax.Array:
    """Adds the two of three taps that fall on the same input pixel."""
    first, middle, last = jnp.split(kernel, 3, axis)
    taps = (first, middle + last) if phase == 0 else (first + middle, last)
    return jnp.concatenate(taps, axis)
