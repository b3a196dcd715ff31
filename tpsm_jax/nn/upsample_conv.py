"""The layer that doubles a picture's size and convolves it."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from tpsm_jax.backends.upsample_conv import upsample_conv
from tpsm_jax.nn.layers import Dtype, uniform_by_fan_in


class UpsampleConv(nn.Module):
    """conv3x3(nearest_x2(x)), with the parameters of a 3x3 `nn.Conv`.

    Attributes:
      features: channels out.
      dtype: type to compute in.
    """

    features: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Args: x: [B, H, W, C]. Returns: [B, 2H, 2W, features]."""
        initialize = uniform_by_fan_in(9 * x.shape[-1])
        kernel = self.param("kernel", initialize, (3, 3, x.shape[-1], self.features))
        bias = self.param("bias", initialize, (self.features,))
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        return upsample_conv(x, kernel) + bias.astype(self.dtype).reshape(1, 1, 1, -1)
