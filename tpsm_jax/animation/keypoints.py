"""Scales and compares poses by the hulls of their keypoints."""

from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import ConvexHull, QhullError

from tpsm_jax.errors import InputError
from tpsm_jax.models.interface import AnimationModel, Pose


class BestFrame(NamedTuple):
    """The driving frame most like the source: its number from 0, and its pose without a batch."""

    number: int
    keypoints: Pose


def best_of(model: AnimationModel, source: Pose, poses: Iterable[Pose]) -> BestFrame:
    """The pose most like the source's, by `pose_distance`.

    Args:
      model: the checkpoint's model.
      source: the source's pose, without a batch.
      poses: driving poses, without a batch.

    Raises:
      InputError: there is none.
    """
    best, least = None, float("inf")
    points = points_of_one(model, source)
    for number, pose in enumerate(poses):
        distance = pose_distance(points, points_of_one(model, pose))
        if best is None or distance < least:
            best, least = BestFrame(number, pose), distance
    if best is None:
        raise InputError("there is no driving frame to choose the best of")
    return best


def pose_at(index: int, pose: Pose) -> Pose:
    """One pose of a batch, as NumPy arrays."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[index], pose)


def points_of_one(model: AnimationModel, pose: Pose) -> np.ndarray:
    """The points [N, 2] of a pose without a batch."""
    return np.asarray(model.points(jax.tree.map(lambda leaf: leaf[None], pose)))[0]


def relative_motion(
    model: AnimationModel, source: Pose, initial: Pose, factor: float = 1.0
) -> tuple[Pose, jax.Array]:
    """What mode 'relative' measures motion by, see `programs.animate`.

    Args:
      model: the checkpoint's model.
      source: the source's pose, without a batch.
      initial: the driving pose that stands for the source's, without a batch.
      factor: how much larger the motion is than the bodies' sizes make it.

    Returns:
      The initial pose, without a batch, and the scale [].

    Raises:
      InputError: see `relative_scale`.
    """
    scale = relative_scale(points_of_one(model, source), points_of_one(model, initial))
    return jax.tree.map(jnp.asarray, initial), jnp.float32(factor * scale)


def relative_scale(kp_source: np.ndarray, kp_driving_initial: np.ndarray) -> float:
    """How much larger the source's body is than the driving clip's.

    Args:
      kp_source: [N, 2], (x, y) in [-1, 1].
      kp_driving_initial: [N, 2], the driving pose that stands for the source's.

    Returns:
      The square root of the ratio of the areas of the keypoints' convex hulls.

    Raises:
      InputError: all keypoints of a frame lie on one line: a scale of 0 or infinity would make
        a still or a scrambled clip. Or they are not finite, or no [N, 2].
    """
    source, driving = _hull_area(kp_source), _hull_area(kp_driving_initial)
    if source == 0 or driving == 0:
        which = "source picture" if source == 0 else "driving clip's first frame"
        raise InputError(
            f"the keypoints of the {which} span no area, so motion cannot be scaled by it: "
            "use mode 'standard' or another picture"
        )
    return float(np.sqrt(source) / np.sqrt(driving))


def pose_distance(kp_source: np.ndarray, kp_driving: np.ndarray) -> float:
    """How unlike two poses are, regardless of the bodies' places and sizes.

    Args:
      kp_source: [N, 2].
      kp_driving: [N, 2].

    Returns:
      The sum of squared distances after subtracting the means and dividing by the square roots
      of the hull areas; infinity if either spans no area. The reference's `find_best_frame` does
      this with a face's landmarks; the model's own keypoints exist for any body.
    """
    source, driving = _hull_area(kp_source), _hull_area(kp_driving)
    if source == 0 or driving == 0:
        return float("inf")
    source_pose = (kp_source - kp_source.mean(axis=0)) / np.sqrt(source)
    driving_pose = (kp_driving - kp_driving.mean(axis=0)) / np.sqrt(driving)
    return float(np.sum((source_pose - driving_pose) ** 2))


def _hull_area(keypoints: np.ndarray) -> float:
    points = np.asarray(keypoints, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        # Qhull would end the process.
        raise InputError(f"keypoints have the shape {list(points.shape)}, and [N, 2] is taken")
    if not np.isfinite(points).all():
        raise InputError(
            "the keypoints are not finite numbers: the checkpoint's weights are broken"
        )
    try:
        return float(ConvexHull(points).volume)  # in two dimensions the "volume" is the area
    except QhullError:  # all points on a line, or in one place
        return 0.0
