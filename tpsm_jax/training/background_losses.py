"""Losses of the background's motion that the reference does not have.

They train the predictor where its colors do not: a figure in front has more contrast, and moves.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from tpsm_jax.models.dense_motion import background_warp
from tpsm_jax.ops.grid_sample import grid_sample
from tpsm_jax.training.losses import landmark_loss


def background_points_loss(
    bg_param: jax.Array, source_points: jax.Array, driving_points: jax.Array
) -> jax.Array:
    """How far the motion of the background takes its points from where they are in the source.

    Args:
      bg_param: [B, 3, 3], from the driving picture to the source.
      source_points: [B, N, 2], (x, y) in [-1, 1]; NaN where a place is not known.
      driving_points: [B, N, 2], the same points.

    Returns:
      [] float32, as `landmark_loss`.
    """
    known = jnp.isfinite(driving_points).all(axis=-1, keepdims=True)
    moved = move_points(bg_param, jnp.where(known, driving_points, 0))
    return landmark_loss(moved, jnp.where(known, source_points, jnp.nan))


def move_points(affine: jax.Array, points: jax.Array) -> jax.Array:
    """[B, N, 2] under maps [B, 3, 3] that act on (x, y, 1)."""
    linear = affine[:, :2, :2]
    moved = jnp.einsum("bij,bnj->bni", linear, points, precision=jax.lax.Precision.HIGHEST)
    return moved + affine[:, None, :2, 2]


def background_equivariance_loss(
    predict: Callable[[jax.Array, jax.Array], jax.Array], affine: jax.Array, images: jax.Array
) -> jax.Array:
    """How far the predictor misses known maps, each of one picture.

    Args:
      predict: the background predictor, of source and driving pictures.
      affine: [B, 3, 3], the maps, from places in the driving picture to places in the source.
      images: [B, H, W, 3], the sources; mirrored at their borders.

    Returns:
      [] float32, the mean absolute difference at the pictures' corners.
    """

    def move(image: jax.Array, positions: jax.Array) -> jax.Array:
        return grid_sample(image, positions, padding_mode="reflection")

    moved = jax.vmap(move)(images, background_warp(affine, *images.shape[:3]))
    signs = jnp.array([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    corners = jnp.broadcast_to(signs, (len(images), *signs.shape))
    return background_points_loss(predict(images, moved), move_points(affine, corners), corners)


def random_affine(rng: jax.Array, batch: int) -> jax.Array:
    """Draws affine maps that mostly shift: [B, 3, 3], acting on (x, y, 1).

    With shifts half as wide, the background predictor does not begin to learn.
    """
    most = jnp.broadcast_to(jnp.array([0.06, 0.06, 0.25]), (batch, 2, 3))
    noise = jax.random.uniform(rng, most.shape, minval=-most, maxval=most)
    return jnp.eye(3)[None] + jnp.pad(noise, ((0, 0), (0, 1), (0, 0)))
