"""MGif's random resize and crop of a pair, `resize_param` and `crop_param` of the official files.

Both frames of a pair get the same resize and crop. The reference does this between its flips and
its color jitter. Here it comes before both, which is equivalent for square frames: the offset of
the crop is uniform, and so is its mirror image. The result is rounded to 8 bits, which is how the
reference's jitter begins.
"""

import dataclasses
from typing import Self

import numpy as np
from ml_collections import ConfigDict
from scipy import ndimage

from data.sampling import SampleDraws
from tpsm_jax.errors import InputError
from tpsm_jax.media.images import to_float, to_uint8


@dataclasses.dataclass(frozen=True)
class ResizeCrop:
    """The resize and crop that every pair gets, with its own random numbers.

    Attributes:
      ratio: (smallest, largest) scale, or None to keep the size.
      size: (height, width) to crop to.
    """

    ratio: tuple[float, float] | None
    size: tuple[int, int]

    @classmethod
    def from_config(cls, params: ConfigDict | None) -> Self | None:
        """Reads `augmentation_params`.

        Args:
          params: may have `resize_param` {ratio} and `crop_param` {size}; a size may be one number
            for both sides. A section whose field is None is the same as no section, and None the
            same as empty params. Flips and jitter are read elsewhere.

        Returns:
          The resize and crop, or None for neither.

        Raises:
          InputError: there is a resize without a crop, or an unknown section (such as the
            reference's `rotation_param`, which no official file uses).
        """
        params = params or {}
        known = {"flip_param", "jitter_param", "resize_param", "crop_param"}
        if unknown := sorted(set(params) - known):
            raise InputError(f"augmentation_params has an unknown entry {unknown[0]!r}")
        ratio = (params.get("resize_param") or {}).get("ratio")
        size = (params.get("crop_param") or {}).get("size")
        if size is None:
            if ratio is not None:
                raise InputError("augmentation_params: resize_param also needs a crop_param")
            return None
        height, width = (size, size) if isinstance(size, int) else size
        return cls(None if ratio is None else tuple(ratio), (height, width))

    def __call__(self, pictures: np.ndarray, draws: SampleDraws) -> np.ndarray:
        """Resizes and crops all pictures of a sample in the same way.

        Args:
          pictures: [n, H, W, 3] uint8.
          draws: the sample's random numbers.

        Returns:
          [n, height, width, 3] uint8.
        """
        frames = to_float(pictures)
        if self.ratio is not None:
            least, largest = self.ratio
            frames = resize(frames, least + (largest - least) * draws.resize)
        frames = crop(frames, self.size, draws.crop)
        return to_uint8(frames)


def resize(frames: np.ndarray, scale: float) -> np.ndarray:
    """Picks the nearest pixels, after a blur along each axis that shrinks.

    Args:
      frames: [n, H, W, 3] float32 in [0, 1].
      scale: factor of both sides; the new sides are rounded down.

    Returns:
      [n, int(H * scale), int(W * scale), 3] float32 in [0, 1]. Source: the reference's
      RandomResize with its default 'nearest', which is scikit-image's resize of order 0 with
      anti-aliasing and zeros beyond the border. (Down to a scale of 0.8 the blur has one tap and
      does nothing: in MGif's range, 0.9 to 1.1, pixels are picked unchanged.)
    """
    count, height, width, channels = frames.shape
    size = (count, int(height * scale), int(width * scale), channels)
    factors = np.divide(frames.shape, size)
    sigma = np.maximum(0, (factors - 1) / 2)
    blurred = ndimage.gaussian_filter(frames, sigma, mode="grid-constant")
    return ndimage.zoom(blurred, 1 / factors, order=0, mode="grid-constant", grid_mode=True)


def crop(frames: np.ndarray, size: tuple[int, int], position: tuple[float, float]) -> np.ndarray:
    """Pads frames that are too small with copies of the border, then cuts a part out.

    Args:
      frames: [n, H, W, 3].
      size: (height, width) of the part.
      position: (across, down) of the part, uniform in [0, 1).

    Returns:
      [n, height, width, 3]. Source: the reference's RandomCrop, whose tests for "nothing to
      choose" are swapped: if the height is exactly right, the part is always taken from the left;
      if the width is, from the top. For square frames that makes no difference.
    """
    height, width = size
    rows, columns = (max(0, size[axis] - frames.shape[axis + 1]) for axis in (0, 1))
    pads = ((0, 0), (rows // 2, (rows + 1) // 2), (columns // 2, (columns + 1) // 2), (0, 0))
    frames = np.pad(frames, pads, mode="edge")
    free_rows, free_columns = frames.shape[1] - height, frames.shape[2] - width
    left = 0 if free_rows == 0 else int(position[0] * (free_columns + 1))
    top = 0 if free_columns == 0 else int(position[1] * (free_rows + 1))
    return frames[:, top : top + height, left : left + width]
