"""Pictures from disk as 8-bit RGB, as floats and back, resized as the reference's demo does."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import scipy.sparse
from PIL import Image

from tpsm_jax.errors import InputError
from tpsm_jax.media.picture_opening import (
    UNREADABLE,
    check_single,
    open_picture,
    open_wide_picture,
    plays,
)
from tpsm_jax.media.rgb import Color, alpha_array, rgb_array

_Result = TypeVar("_Result")


class PictureHeader(NamedTuple):
    """What a picture's file says of it before it is decoded.

    Attributes:
      height: rows, as stored.
      width: columns, as stored.
      is_animated: whether several frames play one after the other, as in a GIF.
    """

    height: int
    width: int
    is_animated: bool


def read_image(path: str | Path, *, alpha_background: Color | None = None) -> np.ndarray:
    """Reads any picture that Pillow reads, upright, as sRGB by its color profile.

    Args:
      path: gray, palette, RGB, CMYK, 1-bit or 16-bit; HEIC where pillow-heif is installed.
      alpha_background: (red, green, blue) in [0, 255] that shows through where the picture is
        transparent; None drops an alpha channel, as the reference does.

    Returns:
      [H, W, 3] uint8. 16-bit grays are scaled (65535 becomes 255), floats are taken as [0, 1]
      when none exceeds 1 and as [0, 255] otherwise. A profile that is broken is ignored.

    Raises:
      InputError: the file is missing, no picture that Pillow can decode, or holds several: it is
        animated, or a TIFF of several pages.
    """
    return _read(path, open_picture, alpha_background)


def read_alpha(path: str | Path) -> np.ndarray | None:
    """Reads how opaque a picture's pixels are.

    Returns:
      [H, W] uint8, upright, 255 where it is opaque; None for a picture without an alpha channel.

    Raises:
      InputError: see `read_image`.
    """

    def alpha(image: Image.Image) -> np.ndarray | None:
        check_single(image, path)
        return alpha_array(image)

    return _with_picture(path, open_picture, alpha)


def read_wide_picture(path: str | Path) -> np.ndarray:
    """Reads a picture of frames side by side, which may be far larger than a single one.

    Pillow refuses pictures of more than 180 million pixels, 2,730 frames of 256 x 256, as bombs.

    Args:
      path: a picture, see `read_image`.

    Returns:
      [H, W, 3] uint8, see `read_image`. A PNG takes at most 4 bytes a pixel more while it is read.

    Raises:
      InputError: see `read_image`; or it is a PNG of more than
        `picture_opening.WIDE_LARGEST` pixels.
    """
    return _read(path, open_wide_picture, None)


def read_header(path: str | Path) -> PictureHeader:
    """Reads what is known of a picture without decoding it, however large it is.

    Raises:
      InputError: see `read_wide_picture`.
    """

    def header(image: Image.Image) -> PictureHeader:
        return PictureHeader(image.height, image.width, plays(image))

    return _with_picture(path, open_wide_picture, header)


def _read(
    path: str | Path,
    open_it: Callable[[str | Path], Image.Image],
    alpha_background: Color | None,
) -> np.ndarray:
    def decoded(image: Image.Image) -> np.ndarray:
        check_single(image, path)
        image.load()
        return rgb_array(image, alpha_background=alpha_background, upright=True)

    return _with_picture(path, open_it, decoded)


def _with_picture(
    path: str | Path,
    open_it: Callable[[str | Path], Image.Image],
    use: Callable[[Image.Image], _Result],
) -> _Result:
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe would be waited for without end
        raise InputError(f"cannot read the picture {path}: it is no file")
    try:
        with open_it(path) as image:
            return use(image)
    except FileNotFoundError:
        raise InputError(f"there is no picture {path}") from None
    except UNREADABLE as error:
        reason = str(error) or repr(error)
        raise InputError(f"cannot read the picture {path}: {reason}") from None


def to_float(image: np.ndarray) -> np.ndarray:
    """A picture as float32; `ops.pixels.to_float_exactly` is equal to the bit.

    Args:
      image: uint8 of any shape; or floats in [0, 1], which keep their values.

    Returns:
      float32 in [0, 1] of the same shape.
    """
    converted = image.astype(np.float32)
    return converted / np.float32(255) if image.dtype == np.uint8 else converted


def to_uint8(image: np.ndarray) -> np.ndarray:
    """A picture as 8 bits: clipped to [0, 1] and rounded to nearest; NaN becomes 0.

    Args:
      image: any kind of number, of any shape; uint8 is returned as it is.

    Returns:
      uint8 of the same shape.
    """
    image = np.asarray(image)
    if image.dtype == np.uint8:
        return image
    return np.round(255 * np.clip(np.nan_to_num(image, nan=0.0), 0, 1)).astype(np.uint8)


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear resize, blurred first along an axis that shrinks.

    Both are linear and separable, so each axis is one sparse matrix, built once a size.

    Args:
      image: [H, W, 3], uint8 or floats in [0, 1].
      height: rows wanted.
      width: columns wanted.

    Returns:
      [height, width, 3] float32 in [0, 1]. Source: skimage.transform.resize with its defaults
      (order 1, mode 'reflect', anti-aliasing), which the reference's demo.py calls.
    """
    rows, columns, channels = image.shape
    if (rows, columns) == (height, width):
        return to_float(image)
    # Each product works down the first axis, the other axis and the channels riding along.
    out = resize_matrix(rows, height) @ image.reshape(rows, -1).astype(np.float32)
    out = out.reshape(height, columns, channels).transpose(1, 0, 2).reshape(columns, -1)
    out = (resize_matrix(columns, width) @ out).reshape(width, height, channels)
    scale = np.float32(1 / 255 if image.dtype == np.uint8 else 1)  # once only, and last: quicker
    return np.ascontiguousarray(out.transpose(1, 0, 2)) * scale


@functools.lru_cache(maxsize=16)
def resize_matrix(size_in: int, size_out: int) -> scipy.sparse.csr_array:
    """The matrix [size_out, size_in] that `resize` applies to one axis."""
    step = size_in / size_out
    position = (np.arange(size_out) + 0.5) * step - 0.5  # pixel centers at (i + 1/2) / size
    lower = np.floor(position).astype(int)
    taps = np.stack([lower, lower + 1], axis=1)
    weights = np.stack([lower + 1 - position, position - lower], axis=1)

    profile = _blur_profile(step)
    offsets = np.arange(len(profile)) - len(profile) // 2
    taps = _mirrored(taps[:, :, None] + offsets, size_in).reshape(size_out, -1)
    weights = (weights[:, :, None] * profile).reshape(size_out, -1)
    rows = np.broadcast_to(np.arange(size_out)[:, None], taps.shape)
    entries = (weights.ravel(), (rows.ravel(), taps.ravel()))
    matrix = scipy.sparse.coo_array(entries, shape=(size_out, size_in)).tocsr()
    return matrix.astype(np.float32)  # only now: taps that meet on a pixel were added in float64


def _blur_profile(step: float) -> np.ndarray:
    sigma = max(0.0, (step - 1) / 2)
    radius = int(4 * sigma + 0.5)  # scipy.ndimage.gaussian_filter's truncation
    if radius == 0:
        return np.ones(1)
    profile = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return profile / profile.sum()


def _mirrored(index: np.ndarray, size: int) -> np.ndarray:
    """Indices outside are reflected about the centers of the border pixels, as often as needed."""
    if size == 1:
        return np.zeros_like(index)
    period = 2 * (size - 1)
    index = index % period
    return np.minimum(index, period - index)
