"""The motion of a clip apart from its pictures: its poses over time, smoothed or looped."""

import dataclasses
from collections.abc import Iterator

import jax
import numpy as np
from scipy.signal import savgol_filter

from tpsm_jax.errors import InputError
from tpsm_jax.models.interface import Pose

_DEGREE = 2  # of the polynomials that smooth: they keep the height and the width of a peak
_LOOP_SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class Motion:
    """The poses of a clip; iterating yields them one by one, without a batch.

    Attributes:
      poses: the poses of T frames, T in front; TPSM's are [T, N, 2], (x, y) in [-1, 1].
      times: [T] float64, seconds since the first frame, rising.
      fps: frames a second, the mean rate if times are odd.
    """

    poses: Pose
    times: np.ndarray
    fps: float

    def __iter__(self) -> Iterator[Pose]:
        leaves, structure = jax.tree.flatten(self.poses)
        for index in range(len(self.times)):
            yield jax.tree.unflatten(structure, [leaf[index] for leaf in leaves])


def smoothed(motion: Motion, seconds: float) -> Motion:
    """Takes jitter out of a motion, without delay: each pose is that of a parabola around it.

    A Savitzky-Golay filter of degree 2: slow movements keep their amplitude, and the first and the
    last poses follow the parabolas at the ends.

    Args:
      motion: T frames.
      seconds: length of the parabolas; `2 round(seconds fps / 2) + 1` frames.

    Returns:
      As many poses at the same times.

    Raises:
      InputError: the length is fewer than five frames, which takes no jitter out, or more than T.
    """
    # More than the clip has is too long, however long.
    half = round(min(seconds * motion.fps / 2, len(motion.times)))
    length = 2 * half + 1
    if length <= _DEGREE + 1:
        raise InputError(
            f"smoothing over {seconds:g} s at {motion.fps:g} frames/s changes nothing: choose at "
            f"least {(_DEGREE + 1.5) / motion.fps:.2g} s"
        )
    if length > len(motion.times):
        raise InputError(
            f"smoothing over {seconds:g} s takes more than the {len(motion.times)} frames that the "
            "clip has: choose fewer seconds"
        )

    def smooth(leaf: np.ndarray) -> np.ndarray:
        return savgol_filter(leaf.astype(np.float64), length, _DEGREE, axis=0).astype(leaf.dtype)

    return dataclasses.replace(motion, poses=jax.tree.map(smooth, motion.poses))


def looped(motion: Motion) -> Motion:
    """Leads a motion back to its first pose, so that a player can repeat it without a jump.

    The poses of the last second, or of the last half of a shorter clip, are drawn to the first.

    Args:
      motion: T frames.

    Returns:
      As many poses at the same times; the last is the first.
    """
    end = motion.times[-1]
    start = max(end - _LOOP_SECONDS, end / 2)
    share = np.clip((motion.times - start) / max(end - start, 1e-9), 0, 1)
    share = share * share * (3 - 2 * share)  # no sudden start, no sudden end

    def draw(leaf: np.ndarray) -> np.ndarray:
        weight = share.reshape(-1, *[1] * (leaf.ndim - 1))
        return (leaf + weight * (leaf[:1] - leaf)).astype(leaf.dtype)

    return dataclasses.replace(motion, poses=jax.tree.map(draw, motion.poses))
