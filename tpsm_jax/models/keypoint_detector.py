"""Keypoints of a picture. Reference: `KPDetector` in modules/keypoint_detector.py."""

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
      dtype: to compute convolutions in.
    """

    num_tps: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, image: jax.Array, *, train: bool = False) -> jax.Array:
        """Finds the keypoints.

        Args:
          image: [B, H, W, 3] in [0, 1].
          train: normalise by the batch and update the running statistics.

        Returns:
          [B, 5 K, 2] float32, (x, y) in [-1, 1]; spline k owns points 5k to 5k+4.
        """
        outputs = self.num_tps * POINTS_PER_TPS * 2
        encoder = ResNet18(outputs, dtype=self.dtype, name="fg_encoder")
        keypoints = nn.sigmoid(encoder(image, train=train)) * 2 - 1
        return keypoints.reshape(image.shape[0], self.num_tps * POINTS_PER_TPS, 2)
