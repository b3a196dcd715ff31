"""The hourglass (U-Net) of the dense motion network. Reference: `Hourglass` in modules/util.py."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from tpsm_jax.nn.blocks import DownBlock, UpBlock
from tpsm_jax.nn.layers import Dtype


class HourglassEncoder(nn.Module):
    """Halves the size once for each of `features`, the numbers of its blocks' features."""

    features: tuple[int, ...]
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> list[jax.Array]:
        outputs = [x]
        for i, features in enumerate(self.features):
            block = DownBlock(features, dtype=self.dtype, name=f"down_blocks_{i}")
            outputs.append(block(outputs[-1]))
        return outputs


class HourglassDecoder(nn.Module):
    """Doubles the size as often; each time appends the encoder's output of that size."""

    features: tuple[int, ...]
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, encoder_outputs: list[jax.Array]) -> list[jax.Array]:
        *skips, x = encoder_outputs
        outputs = []
        for i, (features, skip) in enumerate(zip(self.features, reversed(skips), strict=True)):
            x = UpBlock(features, dtype=self.dtype, name=f"up_blocks_{i}")(x)
            x = jnp.concatenate([x, skip.astype(x.dtype)], axis=-1)
            outputs.append(x)
        return outputs


class Hourglass(nn.Module):
    """Encoder and decoder with skip connections.

    Attributes:
      block_expansion: features before the first doubling.
      num_blocks: how often the size is halved; H and W must be divisible by 2 ** num_blocks.
      max_features: upper bound on the features.
      dtype: type to compute convolutions in.
    """

    block_expansion: int
    num_blocks: int
    max_features: int
    dtype: Dtype = jnp.float32

    def setup(self) -> None:
        features = [
            min(self.max_features, self.block_expansion * 2**level)
            for level in range(self.num_blocks + 1)
        ]
        self.encoder = HourglassEncoder(tuple(features[1:]), self.dtype)
        self.decoder = HourglassDecoder(tuple(reversed(features[:-1])), self.dtype)

    def __call__(self, x: jax.Array) -> list[jax.Array]:
        """Args: x: [B, H, W, C]. Returns: all decoder outputs, the last [B, H, W, features + C]."""
        return self.decoder(self.encoder(x))
