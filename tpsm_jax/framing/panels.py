"""Source, driving frame and result side by side in one picture."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from tpsm_jax.media.images import to_uint8


def side_by_side(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures next to each other, all as high as the last one.

    Args:
      pictures: [h, w, 3] each, uint8 or floats in [0, 1], of any sizes; they keep their
        proportions.

    Returns:
      [H, W, 3] uint8.
    """
    height = pictures[-1].shape[0]
    return np.hstack([_as_high(to_uint8(picture), height) for picture in pictures])


def widened(picture: np.ndarray, pixel_aspect: float) -> np.ndarray:
    """A picture as players show it.

    Args:
      picture: [h, w, 3] uint8, as it is stored.
      pixel_aspect: the width of its pixels over their height.

    Returns:
      [h, w', 3] uint8.
    """
    return _resized(picture, picture.shape[1] * pixel_aspect, picture.shape[0])


def _as_high(picture: np.ndarray, height: int) -> np.ndarray:
    return _resized(picture, picture.shape[1] * height / picture.shape[0], height)


def _resized(picture: np.ndarray, width: float, height: int) -> np.ndarray:
    size = max(1, round(width)), height
    if size == (picture.shape[1], picture.shape[0]):
        return picture
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
