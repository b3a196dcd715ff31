"""Resizing and anti-aliased downsampling, each as one small constant matrix per axis.

Both are linear and separable. As matmuls they run on the matrix units, and their gradient is a
matmul too and not a scatter.
"""

import jax
import jax.numpy as jnp
import numpy as np


def resize_align_corners(image: jax.Array, height: int, width: int) -> jax.Array:
    """Resizes bilinearly; the centers of the corner pixels stay where they are.

    Args:
      image: [H, W, C].
      height: rows of the result.
      width: columns of the result.

    Returns:
      [height, width, C]. Source: torch.nn.functional.interpolate, bilinear, align_corners=True.
    """
    rows = _align_corners_matrix(image.shape[0], height)
    columns = _align_corners_matrix(image.shape[1], width)
    return _apply_per_axis(image, rows, columns)


def antialias_kernel(scale: float) -> np.ndarray:
    """Returns the Gaussian that removes high frequencies before downsampling by `scale`.

    Args:
      scale: in (0, 1).

    Returns:
      [k, k] float32, with sum 1. Reference: `AntiAliasInterpolation2d` in modules/util.py, whose
      checkpoints store it as `weight`.
    """
    profile = _gaussian_profile(scale)
    return np.outer(profile, profile).astype(np.float32)


def antialias_downsample(image: jax.Array, scale: float) -> jax.Array:
    """Blurs with `antialias_kernel` (zeros outside), then keeps the pixels at floor(i / scale).

    Args:
      image: [H, W, C].
      scale: in (0, 1]; 1 returns the picture unchanged.

    Returns:
      [floor(H * scale), floor(W * scale), C]. Reference: `AntiAliasInterpolation2d`.
    """
    if scale == 1:
        return image
    rows = _antialias_matrix(image.shape[0], scale)
    columns = _antialias_matrix(image.shape[1], scale)
    return _apply_per_axis(image, rows, columns)


def _apply_per_axis(image: jax.Array, rows: np.ndarray, columns: np.ndarray) -> jax.Array:
    precision = jax.lax.Precision.HIGHEST
    image = jnp.einsum("hi,ijc->hjc", rows, image, precision=precision)
    return jnp.einsum("wj,hjc->hwc", columns, image, precision=precision)


def _align_corners_matrix(size_in: int, size_out: int) -> np.ndarray:
    step = (size_in - 1) / (size_out - 1) if size_out > 1 else 0.0
    position = np.arange(size_out) * step
    lower = np.minimum(position.astype(int), size_in - 1)
    upper = np.minimum(lower + 1, size_in - 1)
    matrix = np.zeros((size_out, size_in))
    np.add.at(matrix, (np.arange(size_out), lower), 1 - (position - lower))
    np.add.at(matrix, (np.arange(size_out), upper), position - lower)
    return matrix.astype(np.float32)


def _gaussian_profile(scale: float) -> np.ndarray:
    sigma = (1 / scale - 1) / 2
    radius = round(sigma * 4)
    offsets = np.arange(-radius, radius + 1)
    profile = np.exp(-(offsets**2) / (2 * sigma**2))
    return profile / profile.sum()


def _antialias_matrix(size: int, scale: float) -> np.ndarray:
    profile = _gaussian_profile(scale)
    radius = len(profile) // 2
    kept = np.floor(np.arange(int(size * scale)) / scale).astype(int)
    matrix = np.zeros((len(kept), size + 2 * radius))
    for row, center in enumerate(kept):
        matrix[row, center : center + len(profile)] = profile
    return matrix[:, radius : radius + size].astype(np.float32)
