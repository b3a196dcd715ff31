"""Convolution blocks of the hourglass and the inpainting network.

Reference: `SameBlock2d`, `DownBlock2d`, `UpBlock2d` and `ResBlock2d` in modules/util.py.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from tpsm_jax.nn.instance_norm import InstanceNorm
from tpsm_jax.nn.layers import Dtype, conv
from tpsm_jax.nn.upsample_conv import UpsampleConv


class SameBlock(nn.Module):
    """Convolution, norm, relu: [B, H, W, C] -> [B, H, W, features]."""

    features: int
    kernel_size: int = 3
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = conv(x.shape[-1], self.features, self.kernel_size, dtype=self.dtype, name="conv")(x)
        return nn.relu(InstanceNorm(self.dtype, name="norm")(x))


class DownBlock(nn.Module):
    """3x3 convolution, norm, relu, 2x2 average: [B, H, W, C] -> [B, H/2, W/2, features]."""

    features: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = conv(x.shape[-1], self.features, 3, dtype=self.dtype, name="conv")(x)
        x = nn.relu(InstanceNorm(self.dtype, name="norm")(x))
        batch, height, width, channels = x.shape
        # A mean over axes, because the gradient of `nn.avg_pool` is slower on a CPU.
        return x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))


class UpBlock(nn.Module):
    """Nearest x2, 3x3 convolution, norm, relu: [B, H, W, C] -> [B, 2H, 2W, features]."""

    features: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = UpsampleConv(self.features, dtype=self.dtype, name="conv")(x)
        return nn.relu(InstanceNorm(self.dtype, name="norm")(x))


class ResBlock(nn.Module):
    """Two times norm, relu, 3x3 convolution, then plus the input: [B, H, W, C] -> [B, H, W, C]."""

    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        features = x.shape[-1]
        out = nn.relu(InstanceNorm(self.dtype, name="norm1")(x))
        out = conv(features, features, 3, dtype=self.dtype, name="conv1")(out)
        out = nn.relu(InstanceNorm(self.dtype, name="norm2")(out))
        out = conv(features, features, 3, dtype=self.dtype, name="conv2")(out)
        return out + x
