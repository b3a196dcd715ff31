"""Thin-plate splines, fitted to point pairs by one small linear solve."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from tpsm_jax.backends.linear_solve import solve
from tpsm_jax.ops.coordinates import coordinate_grid

# The reference adds this to the whole diagonal of the system. The spline then does not interpolate
# its points exactly, and trained weights rely on that.
REGULARIZATION = 0.01
AFFINE_REGULARIZATION = 1e-3


class ThinPlateSpline(NamedTuple):
    """T(z) = A z + b + sum_i w_i U(|z - p_i|^2), with U(s) = s log(s + 1e-9).

    Attributes:
      control_points: [n, 2], the p_i, (x, y).
      weights: [n, 2], the w_i; [n, 1] where one weight is shared by x and y.
      affine: [2, 3], A and b side by side.
    """

    control_points: jax.Array
    weights: jax.Array
    affine: jax.Array


def fit_thin_plate_spline(control_points: jax.Array, targets: jax.Array) -> ThinPlateSpline:
    """Fits the spline that maps `control_points` onto `targets`, up to the regularization.

    Args:
      control_points: [n, 2] float32, (x, y) in [-1, 1]. They may coincide: values and gradients
        stay finite.
      targets: [n, 2] float32.

    Returns:
      The spline. Source: paper, Eq. 1-2; `TPS` with mode 'kp' in modules/util.py.
    """
    count = control_points.shape[0]
    # Compute the squared distance without a norm, whose gradient is not finite at 0.
    kernel = _radial(control_points[:, None, :] - control_points[None, :, :])
    homogeneous = jnp.concatenate([control_points, jnp.ones((count, 1))], axis=1)
    system = jnp.block([[kernel, homogeneous], [homogeneous.T, jnp.zeros((3, 3))]])
    system = system + REGULARIZATION * jnp.eye(count + 3)
    right_side = jnp.concatenate([targets, jnp.zeros((3, 2))])
    solution = solve(system, right_side)
    return ThinPlateSpline(control_points, solution[:count], solution[count:].T)


def fit_affine(control_points: jax.Array, targets: jax.Array) -> ThinPlateSpline:
    """Fits the affine map from `control_points` to `targets` with the least squared error.

    Args:
      control_points: [n, 2] float32, (x, y) in [-1, 1]. Where they coincide, the map is a shift.
      targets: [n, 2] float32.

    Returns:
      A spline that does not bend: its weights are 0.
    """
    center, goal = jnp.mean(control_points, axis=0), jnp.mean(targets, axis=0)
    offsets, moved = control_points - center[None], targets - goal[None]
    # A small pull toward the identity keeps points on a line from making a singular system.
    pull = AFFINE_REGULARIZATION * jnp.eye(2)
    product = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    linear = solve(product(offsets.T, offsets) + pull, product(offsets.T, moved) + pull).T
    affine = jnp.concatenate([linear, (goal - product(linear, center))[:, None]], axis=1)
    return ThinPlateSpline(control_points, jnp.zeros_like(targets), affine)


def evaluate_thin_plate_spline(spline: ThinPlateSpline, points: jax.Array) -> jax.Array:
    """Maps points by a spline.

    Args:
      spline: a spline with n control points.
      points: [..., 2] float32, (x, y).

    Returns:
      [..., 2] float32, (x, y). Source: `TPS.warp_coordinates` in modules/util.py.
    """
    shape = points.shape
    points = points.reshape(-1, 2)
    offsets = points[:, None, :] - spline.control_points[None, :, :]
    # Full precision everywhere: a coordinate rounded to bfloat16 can be a quarter pixel off.
    linear = jnp.matmul(points, spline.affine[:, :2].T, precision=jax.lax.Precision.HIGHEST)
    bend = jnp.matmul(_radial(offsets), spline.weights, precision=jax.lax.Precision.HIGHEST)
    return (linear + spline.affine[None, :, 2] + bend).reshape(shape)


def random_thin_plate_spline(
    rng: jax.Array, *, sigma_affine: float, sigma_tps: float, points_tps: int
) -> ThinPlateSpline:
    """Draws a random spline near the identity, for the equivariance loss.

    Args:
      rng: a JAX random key.
      sigma_affine: standard deviation of the noise on each entry of the identity affine map.
      sigma_tps: standard deviation of the weights.
      points_tps: control points along each axis of a regular grid.

    Returns:
      A spline with `points_tps ** 2` control points, with one weight each that x and y share.
      Source: `TPS` with mode 'random' in modules/util.py.
    """
    affine_rng, weights_rng = jax.random.split(rng)
    affine = jnp.eye(2, 3) + sigma_affine * jax.random.normal(affine_rng, (2, 3))
    weights = sigma_tps * jax.random.normal(weights_rng, (points_tps**2, 1))
    return ThinPlateSpline(coordinate_grid(points_tps, points_tps).reshape(-1, 2), weights, affine)


def _radial(offsets: jax.Array) -> jax.Array:
    """Returns U(|offset|^2), over the last axis."""
    squared = jnp.sum(offsets**2, axis=-1)
    return squared * jnp.log(squared + 1e-9)
