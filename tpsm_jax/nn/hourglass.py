"""The hourglass (U-Net) of the dense motion network. Reference: `Hourglass` in modules/util.py."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from tpsm_jax.nn.blocks import DownBlock, UpBlock
from tpsm_jax.nn.layers import Dtype


class HourglassEncoder(nn.Module):
    """Halves the size `num_blocks` times; see `Hourglass` for the attributes."""

    block_expansion: int
    num_blocks: int
    max_features: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> list[jax.Array]:
        outputs = [x]
        for i in range(self.num_blocks):
            features = min(self.max_features, self.block_expansion * 2 ** (i + 1))
            block = DownBlock(features, dtype=self.dtype, name=f"down_blocks_{i}")
            outputs.append(block(outputs[-1]))
        return outputs


class HourglassDecoder(nn.Module):
    """Doubles the size `num_blocks` times; each time appends the encoder's output of that size."""

    block_expansion: int
    num_blocks: int
    max_features: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, encoder_outputs: list[jax.Array]) -> list[jax.Array]:
        *skips, x = encoder_outputs
        outputs = []
        for i, skip in enumerate(reversed(skips)):
            features = min(self.max_features, self.block_expansion * 2 ** (self.num_blocks - 1 - i))
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
        sizes = (self.block_expansion, self.num_blocks, self.max_features, self.dtype)
        self.encoder = HourglassEncoder(*sizes)
        self.decoder = HourglassDecoder(*sizes)

    def __call__(self, x: jax.Array) -> list[jax.Array]:
        """Args: x: [B, H, W, C]. Returns: all decoder outputs, the last [B, H, W, features + C]."""
        return self.decoder(self.encoder(x))
