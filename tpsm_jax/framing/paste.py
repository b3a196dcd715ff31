"""The animated crop back in its picture, with a soft edge."""

import numpy as np
from PIL import Image

from tpsm_jax.framing.boxes import Box, crop
from tpsm_jax.media.images import to_uint8

FEATHER = 0.06  # of the box's shorter side: how far the edge's transition reaches inwards
_ONE = 256  # weights are whole numbers, so that 0 and 1 keep a picture's values to the bit


class Paster:
    """Pastes frames of a crop into copies of one picture, whose other pixels stay to the bit."""

    def __init__(self, picture: np.ndarray, box: Box):
        """Prepares the edge.

        Args:
          picture: [H, W, 3] uint8.
          box: the crop that was animated.
        """
        self._picture, self._box = picture, box
        weight = feathered(box, picture.shape)[..., None]
        self._weight = weight
        self._under = crop(picture, box).astype(np.uint16) * (_ONE - weight) + _ONE // 2

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """A copy of the picture with a frame of the crop, resized to the box, in its place.

        Args:
          frame: [h, w, 3] uint8 or floats in [0, 1], of any size.

        Returns:
          [H, W, 3] uint8.
        """
        box = self._box
        image = Image.fromarray(to_uint8(frame))
        if image.size != (box.width, box.height):
            image = image.resize((box.width, box.height), Image.Resampling.BICUBIC)
        pasted = self._picture.copy()
        blend = np.asarray(image) * self._weight  # 255 * 256 and a half fit into 16 bits
        blend += self._under
        crop(pasted, box)[:] = blend >> 8
        return pasted


def feathered(box: Box, shape: tuple[int, ...]) -> np.ndarray:
    """How much of each pixel is the animated crop's: 256 inside, falling to the box's edge.

    Where the box ends with the picture there is nothing to blend with, and no transition.

    Args:
      box: the crop.
      shape: (height, width, ...) of the picture.

    Returns:
      [box.height, box.width] uint16 in [0, 256].
    """
    rows, columns = shape[:2]
    reach = max(1.0, FEATHER * min(box.width, box.height))
    across = _edge(box.width, reach, box.left > 0, box.left + box.width < columns)
    down = _edge(box.height, reach, box.top > 0, box.top + box.height < rows)
    return np.rint(_ONE * down[:, None] * across[None]).astype(np.uint16)


def _edge(length: int, reach: float, at_start: bool, at_end: bool) -> np.ndarray:
    """The transition along one side: [length] float32 in [0, 1], smooth at both ends."""
    place = np.arange(length) + 0.5
    distance = np.full(length, np.inf)
    if at_start:
        distance = np.minimum(distance, place)
    if at_end:
        distance = np.minimum(distance, length - place)
    part = np.clip(distance / reach, 0, 1)
    return (part * part * (3 - 2 * part)).astype(np.float32)
