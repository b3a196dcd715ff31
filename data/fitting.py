"""Frames at the size that the model takes."""

from collections.abc import Iterator

import numpy as np

from data.clip import Clip
from tpsm_jax.media.images import resize, to_uint8
from tpsm_jax.media.proportions import SqueezeWarning


def fit(frame: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Resizes a frame to the size that the model takes.

    Args:
      frame: [H, W, 3] uint8.
      image_size: (height, width).

    Returns:
      [height, width, 3] uint8, resized like the reference and rounded to nearest; the frame itself
      if it has that size. (The reference resizes only if `frame_shape` is set. Otherwise it fails,
      or trains at the clip's own size.)
    """
    height, width = image_size
    if frame.shape[:2] == (height, width):
        return frame
    return to_uint8(resize(frame, height, width))


def warn_if_squeezed(
    clip: Clip, frame: np.ndarray, size: tuple[int, ...], warn: SqueezeWarning
) -> None:
    """Warns of a frame that loses its proportions, unless that was said of another one.

    Args:
      clip: where the frame is from.
      frame: [H, W, 3], as it is stored.
      size: (height, width) that it is resized to, or its own.
      warn: prints the warning.
    """
    if not warn.is_said:  # the file may have to be opened for the shape of its pixels
        name = f"frames such as those of {clip.name}"
        warn({name: frame.shape}, size, {name: clip.pixel_aspect})


def fitted_frames(
    clip: Clip, image_size: tuple[int, int] | None, warn: SqueezeWarning
) -> Iterator[np.ndarray]:
    """Yields all frames of a clip, at a size or at their own.

    Args:
      clip: the clip.
      image_size: (height, width), or None for the frames' own size.
      warn: says that frames lose their proportions; at their own size, too, if pixels are not
        square.
    """
    for frame in clip.frames():
        warn_if_squeezed(clip, frame, image_size or frame.shape[:2], warn)
        yield frame if image_size is None else fit(frame, image_size)
