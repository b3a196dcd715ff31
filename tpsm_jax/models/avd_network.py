"""Animation via disentanglement. Reference: `AVDNetwork` in modules/avd_network.py."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from tpsm_jax.models.keypoint_detector import POINTS_PER_TPS
from tpsm_jax.nn.batch_norm import BatchNorm
from tpsm_jax.nn.layers import linear


class AVDNetwork(nn.Module):
    """Re-expresses the pose of one keypoint set in the identity of another.

    Attributes:
      num_tps: splines, K.
      id_bottle_size: length of the identity code.
      pose_bottle_size: length of the pose code.
    """

    num_tps: int
    id_bottle_size: int = 64
    pose_bottle_size: int = 64

    @nn.compact
    def __call__(
        self, kp_source: jax.Array, kp_driving: jax.Array, *, train: bool = False
    ) -> jax.Array:
        """Gives the driving pose to the source's identity.

        Args:
          kp_source: [B or 1, 5 K, 2], whose identity is kept.
          kp_driving: [B, 5 K, 2], whose pose is taken.
          train: normalize by the batch and update the running statistics.

        Returns:
          [B, 5 K, 2] float32.
        """
        batch = kp_driving.shape[0]
        size = self.num_tps * POINTS_PER_TPS * 2
        source = kp_source.reshape(kp_source.shape[0], size)
        driving = kp_driving.reshape(batch, size)
        pose = self._mlp("pose_encoder", driving, (256, 512, 1024, self.pose_bottle_size), train)
        identity = self._mlp("id_encoder", source, (256, 512, 1024, self.id_bottle_size), train)
        identity = jnp.broadcast_to(identity, (batch, self.id_bottle_size))
        code = jnp.concatenate([pose, identity], axis=1)
        return self._mlp("decoder", code, (1024, 512, 256, size), train).reshape(batch, -1, 2)

    def _mlp(self, name: str, x: jax.Array, sizes: tuple[int, ...], train: bool) -> jax.Array:
        """Linear layers with norm and relu between; numbered as in the checkpoint's Sequential."""
        for i, size in enumerate(sizes[:-1]):
            x = linear(x.shape[-1], size, name=f"{name}_{3 * i}")(x)
            x = nn.relu(BatchNorm(name=f"{name}_{3 * i + 1}")(x, train=train))
        return linear(x.shape[-1], sizes[-1], name=f"{name}_{3 * (len(sizes) - 1)}")(x)
