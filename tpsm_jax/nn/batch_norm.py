"""Batch normalization with PyTorch's statistics: the running variance is the unbiased one."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from tpsm_jax.nn.layers import Dtype

EPSILON = 1e-5
MOMENTUM = 0.1  # weight of the new value, as PyTorch defines momentum


class BatchNorm(nn.Module):
    """Normalizes over all axes but the last.

    Under `jax.jit` with a sharded batch the statistics are those of the whole batch. Flax's own
    `BatchNorm` keeps the biased variance, so a checkpoint trained with it would differ.

    Attributes:
      dtype: type of the result; the statistics are float32.
    """

    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        """Normalizes by the batch's statistics in training, else by the running ones.

        Args:
          x: [..., C].
          train: use the batch's statistics, and update the running ones.

        Returns:
          [..., C].
        """
        channels = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,))
        running_var = self.variable("batch_stats", "var", jnp.ones, (channels,))

        x = x.astype(jnp.float32)
        if train:
            axes = tuple(range(x.ndim - 1))
            mean, var = jnp.mean(x, axes), jnp.var(x, axes)
            if not self.is_initializing():
                count = x.size // channels
                unbiased = var * (count / max(count - 1, 1))
                running_mean.value += MOMENTUM * (mean - running_mean.value)
                running_var.value += MOMENTUM * (unbiased - running_var.value)
        else:
            mean, var = running_mean.value, running_var.value
        factor = jax.lax.rsqrt(var + EPSILON) * scale
        shape = (1,) * (x.ndim - 1) + (channels,)
        shift = bias - mean * factor
        return (x * factor.reshape(shape) + shift.reshape(shape)).astype(self.dtype)
