"""What callers hand to an `Animator`: checked once, and answered in words."""

import os
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from tpsm_jax.errors import InputError
from tpsm_jax.media.proportions import is_squeezed
from tpsm_jax.models.interface import Pose
from tpsm_jax.models.registry import is_whole

# Filters and codecs go a little beyond [0, 1]; pictures in [-1, 1] or [0, 255] go far beyond.
_MARGIN = 0.25
# Points that move beyond the picture are possible; a point in pixels is far outside.
_FARTHEST_POINT = 4.0
MOST_MOTION = 10.0  # factor of the motion


def as_picture(image: Any, what: str) -> np.ndarray:
    """A picture as a NumPy array, once it is known to be one.

    Args:
      image: [H, W, 3], uint8 or floats in [0, 1]: an array of any library, or a Pillow image.
      what: the picture's name in an error, e.g. "the source".

    Returns:
      [H, W, 3] of the same type.

    Raises:
      InputError: it has another shape, type or range; names what to do.
    """
    array = np.asarray(image)
    shape = f"{what} has the shape {list(array.shape)}, and [H, W, 3] is taken: "
    if array.ndim == 2 or array.ndim == 3 and array.shape[-1] == 1:
        raise InputError(shape + "repeat a gray picture three times along a last axis")
    if array.ndim == 3 and array.shape[-1] == 4:
        raise InputError(shape + "take [..., :3] to drop the alpha channel")
    if array.ndim == 4:
        raise InputError(shape + "give one picture, without a batch")
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[-1] != 3:
        raise InputError(shape + "move the channels to the end, image.transpose(1, 2, 0)")
    if array.ndim != 3 or array.shape[-1] != 3 or not array.size:
        raise InputError(shape + "this is no picture")
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"{what} is of type {array.dtype}: make it uint8, or floats in [0, 1]")
    low, high = float(array.min()), float(array.max())
    if not -_MARGIN <= low <= high <= 1 + _MARGIN:  # NaN is in no range either
        raise InputError(
            f"{what} has floats from {low:g} to {high:g}: bring them to [0, 1], or make it uint8"
        )
    return array


def check_frames(frames: Any) -> Iterable[Any]:
    """Makes sure that something is a series of frames and not a path or a single frame.

    Raises:
      InputError: it is.
    """
    if isinstance(frames, str | bytes | os.PathLike):
        raise InputError(f"frames is the path {frames!s}: give open_video({str(frames)!r})")
    if not isinstance(frames, Iterable) or isinstance(frames, dict):
        raise InputError(f"frames is a {type(frames).__name__}: give a list of [H, W, 3] arrays")
    if getattr(frames, "ndim", 4) == 3:
        raise InputError("frames is a single picture: put it into a list")
    return frames


def check_numbers(size: Any, batch_size: Any, output_dtype: Any) -> None:
    """Checks the settings of an `Animator`.

    Args:
      size: (height, width).
      batch_size: frames computed together, or None.
      output_dtype: type of the frames.

    Raises:
      InputError: one of them makes no sense.
    """
    if not isinstance(size, tuple | list) or len(size) != 2 or not all(map(is_whole, size)):
        raise InputError(f"size is (height, width) in pixels, not {size!r}")
    if batch_size is not None and not (is_whole(batch_size) and batch_size >= 1):
        raise InputError(f"batch_size is a whole number of at least 1, not {batch_size!r}")
    if output_dtype not in (np.uint8, np.float32):
        raise InputError(f"output_dtype is np.uint8 or np.float32, not {output_dtype!r}")


def check_render_size(
    render_size: Any, size: tuple[int, int], model: Any
) -> tuple[int, int] | None:
    """A size of frames that are painted larger than motion is computed.

    Args:
      render_size: (height, width), or None.
      size: (height, width) that motion is computed at.
      model: the checkpoint's model.

    Returns:
      The size, or None if it is `size` or None.

    Raises:
      InputError: it is smaller than `size` or of other proportions, or the model's family cannot
        enlarge.
    """
    if render_size is None:
        return None
    check_numbers(render_size, None, np.uint8)
    height, width = int(render_size[0]), int(render_size[1])
    if (height, width) == size:
        return None
    if height < size[0] or width < size[1] or is_squeezed((height, width), size):
        raise InputError(
            f"render_size is at least {size[0]} x {size[1]} and of the same proportions, not "
            f"{height} x {width}"
        )
    if not hasattr(model, "enlarge"):
        raise InputError("render_size is not available: this family of models cannot enlarge")
    return height, width


def check_motion_scale(scale: Any, mode: str) -> None:
    """Checks a factor of the motion.

    Raises:
      InputError: it is no number from 0 to `MOST_MOTION`, or the mode measures no motion.
    """
    is_number = isinstance(scale, int | float | np.number) and not isinstance(scale, bool)
    if not is_number or not 0 <= scale <= MOST_MOTION:
        raise InputError(f"motion_scale is a number from 0 to {MOST_MOTION:g}, not {scale!r}")
    if scale != 1 and mode != "relative":
        raise InputError(
            f"motion_scale is for mode 'relative': mode {mode!r} takes poses as they are"
        )


def pose_without_batch(pose: Any, like: Pose, what: str = "kp_driving_initial") -> Pose:
    """A pose as float32 arrays; a batch of one, as networks return it, is taken too.

    Args:
      pose: a pose such as [N, 2], or a batch of one, [1, N, 2].
      like: a pose of the same model, without a batch.
      what: the pose's name in an error.

    Returns:
      The pose, without a batch.

    Raises:
      InputError: it has other arrays or shapes, or numbers that are no coordinates.
    """
    wanted = jax.tree.map(np.shape, like)
    try:
        pose = jax.tree.map(lambda _, leaf: np.asarray(leaf, np.float32), like, pose)
    except (ValueError, TypeError) as error:
        raise InputError(f"{what} is no pose of this model, {wanted}") from error
    pairs = list(zip(jax.tree.leaves(pose), jax.tree.leaves(like), strict=True))
    if all(leaf.shape == (1, *known.shape) for leaf, known in pairs):
        pose = jax.tree.map(lambda leaf: leaf[0], pose)
    elif any(leaf.shape != known.shape for leaf, known in pairs):
        raise InputError(
            f"{what} has the shapes {jax.tree.map(np.shape, pose)}, and those of one "
            f"pose are {wanted}"
        )
    if not all(np.isfinite(leaf).all() for leaf, _ in pairs):
        raise InputError(f"{what} has numbers that are not finite")
    return pose


def check_points(points: np.ndarray) -> None:
    """Makes sure that the points of a pose are not in pixels.

    Args:
      points: [N, 2], (x, y) in [-1, 1].

    Raises:
      InputError: one is far outside the picture.
    """
    if (farthest := float(np.abs(points).max())) > _FARTHEST_POINT:
        raise InputError(
            f"kp_driving_initial has a coordinate of {farthest:g}: keypoints are (x, y) in [-1, 1]"
        )
