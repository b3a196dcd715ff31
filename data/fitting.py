"""Frames at the size that the model takes."""

import numpy as np

from tpsm_jax.media.images import resize, to_uint8


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
