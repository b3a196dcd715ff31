"""Keypoints of a picture. Reference: `KPDetector` in modules/keypoint_detector.py."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from tpsm_jax.nn.layers import Dtype
from tpsm_jax.nn.resnet import ResNet18

POINTS_PER_TPS = 5


class KPDetector(nn.Module):
    """ResNet-18 that predicts five control points for each thin-plate spline.

    Attributes:
      num_tps: splines, K.
      width: channels of the ResNet's first stage.
      blocks: residual blocks in each of its stages.
      spread_points: initialize the splines' points spread over the picture. The reference starts
        with all of them near its middle, which small models take long to leave.
      dtype: type of the convolutions.
    """

    num_tps: int
    width: int = 64
    blocks: int = 2
    spread_points: bool = False
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, image: jax.Array, *, train: bool = False) -> jax.Array:
        """Finds the keypoints.

        Args:
          image: [B, H, W, 3] in [0, 1].
          train: normalize by the batch and update the running statistics.

        Returns:
          [B, 5 K, 2] float32, (x, y) in [-1, 1]; spline k owns points 5k to 5k+4.
        """
        outputs = self.num_tps * POINTS_PER_TPS * 2
        encoder = ResNet18(
            outputs,
            self.width,
            self.blocks,
            bias_init=_spread_logits if self.spread_points else None,
            dtype=self.dtype,
            name="fg_encoder",
        )
        keypoints = nn.sigmoid(encoder(image, train=train)) * 2 - 1
        return keypoints.reshape(image.shape[0], self.num_tps * POINTS_PER_TPS, 2)


def _spread_logits(rng: jax.Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> jax.Array:
    """Biases that the sigmoid turns into crosses arranged around the picture's middle."""
    num_tps = shape[0] // (2 * POINTS_PER_TPS)
    turn = 2 * math.pi * jnp.arange(num_tps) / num_tps
    middles = 0.4 * jnp.stack([jnp.cos(turn), jnp.sin(turn)], axis=-1)
    cross = 0.3 * jnp.array([[-1, -1], [1, -1], [0, 0], [-1, 1], [1, 1]])
    points = middles[:, None, :] + cross[None]
    return jnp.log((1 + points) / (1 - points)).reshape(shape).astype(dtype)
