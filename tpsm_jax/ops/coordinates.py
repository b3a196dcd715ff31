"""The pixel grid in the model's coordinates, and heatmaps of keypoints."""

import jax
import jax.numpy as jnp
import numpy as np


def coordinate_grid(height: int, width: int) -> jax.Array:
    """Returns the (x, y) position of every pixel; the corner pixels lie at exactly +-1.

    Args:
      height: rows.
      width: columns. An axis of length 1 lies at -1.

    Returns:
      [H, W, 2] float32, (x, y) in [-1, 1]. Reference: `make_coordinate_grid` in modules/util.py.
    """
    # Divide before doubling, as the reference does, so that both round alike.
    x = 2 * (np.arange(width, dtype=np.float32) / np.float32(max(width - 1, 1))) - 1
    y = 2 * (np.arange(height, dtype=np.float32) / np.float32(max(height - 1, 1))) - 1
    return jnp.asarray(np.stack(np.meshgrid(x, y), axis=-1))


def gaussian_heatmaps(
    keypoints: jax.Array, height: int, width: int, *, variance: float = 0.01
) -> jax.Array:
    """Returns an isotropic Gaussian around every keypoint, 1 at its center.

    Args:
      keypoints: [N, 2], (x, y) in [-1, 1].
      height: rows of the maps.
      width: columns of the maps.
      variance: variance of the Gaussian, in squared grid units.

    Returns:
      [H, W, N] float32 in [0, 1]. Reference: `kp2gaussian` in modules/util.py.
    """
    offsets = coordinate_grid(height, width)[:, :, None, :] - keypoints[None, None, :, :]
    return jnp.exp(-0.5 * jnp.sum(offsets**2, axis=-1) / variance)
