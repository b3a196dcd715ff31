"""Instance normalization with PyTorch's parameters."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from tpsm_jax.nn.layers import Dtype

EPSILON = 1e-5


class InstanceNorm(nn.Module):
    """Normalizes each channel of each picture by its own mean and variance.

    It applies one factor and one shift per channel, as PyTorch does, which reads the picture once
    less than Flax's own. Where the mean is large compared with the deviation, this rounds twice as
    coarsely, as it does in PyTorch. The variance is not E[x^2] - E[x]^2, which loses digits that
    parity needs.

    Attributes:
      dtype: type of the result; mean and variance are at least float32.
    """

    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Args: x: [B, H, W, C]. Returns: [B, H, W, C]."""
        channels = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        x = x.astype(jnp.promote_types(self.dtype, jnp.float32))
        mean = jnp.mean(x, (1, 2), keepdims=True)
        var = jnp.mean(jnp.square(x - mean), (1, 2), keepdims=True)
        factor = jax.lax.rsqrt(var + EPSILON) * scale.reshape(1, 1, 1, -1)
        shift = bias.reshape(1, 1, 1, -1) - mean * factor
        return (x * factor + shift).astype(self.dtype)
