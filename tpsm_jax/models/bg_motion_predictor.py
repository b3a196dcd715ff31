"""Motion of the background. Reference: `BGMotionPredictor` in modules/bg_motion_predictor.py."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from tpsm_jax.nn.layers import Dtype, uniform_by_fan_in
from tpsm_jax.nn.resnet import ResNet18


def _identity_affine(
    rng: jax.Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32
) -> jax.Array:
    return jnp.array([1, 0, 0, 0, 1, 0], dtype)


class BGMotionPredictor(nn.Module):
    """ResNet-18 over both pictures that predicts one affine map, at first the identity.

    Attributes:
      width: channels of the ResNet's first stage.
      blocks: residual blocks in each of its stages.
      dtype: type of the convolutions.
    """

    width: int = 64
    blocks: int = 2
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, source_image: jax.Array, driving_image: jax.Array, *, train: bool = False
    ) -> jax.Array:
        """Predicts where the driving picture's background lies in the source picture.

        Args:
          source_image: [B, H, W, 3] in [0, 1].
          driving_image: [B, H, W, 3] in [0, 1].
          train: normalize by the batch and update the running statistics.

        Returns:
          [B, 3, 3] float32, acting on homogeneous (x, y, 1); the third row is 0 0 1.
        """
        encoder = ResNet18(
            6,
            self.width,
            self.blocks,
            # The reference puts a new convolution there, with PyTorch's default.
            stem_init=uniform_by_fan_in(6 * 7 * 7),
            kernel_init=nn.initializers.zeros,
            bias_init=_identity_affine,
            dtype=self.dtype,
            name="bg_encoder",
        )
        pictures = jnp.concatenate([source_image, driving_image], axis=-1)
        affine = encoder(pictures, train=train).reshape(-1, 2, 3)
        last_row = jnp.broadcast_to(jnp.array([[[0.0, 0.0, 1.0]]]), (affine.shape[0], 1, 3))
        return jnp.concatenate([affine, last_row], axis=1)
