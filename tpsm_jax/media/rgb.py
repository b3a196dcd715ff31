"""A decoded picture as an array of 8-bit sRGB, in little more memory than the array's own."""

from collections.abc import Callable, Iterator

import numpy as np
from PIL import ExifTags, Image, ImageOps

from tpsm_jax.media.color_profile import to_srgb

Color = tuple[int, int, int]

# Pixels on a side of what is converted at once: Pillow copies a picture several times on the way.
_TILE = 1024
# What turns the upright array into a view in the order of the file, by EXIF's orientation.
_AS_STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}
_LYING = (5, 6, 7, 8)


def rgb_array(
    image: Image.Image, *, alpha_background: Color | None = None, upright: bool = False
) -> np.ndarray:
    """A decoded Pillow image as an array.

    Args:
      image: a picture of any mode that `tpsm_jax.media.images.read_image` takes.
      alpha_background: the color [0, 255] that shows through transparent pixels; None drops the
        alpha channel and keeps what is stored under it.
      upright: whether to turn and mirror the picture as its EXIF orientation says.

    Returns:
      [H, W, 3] uint8, by the picture's color profile, see `to_srgb`.
    """
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1) if upright else 1
    rows, columns = image.height, image.width
    rgb = np.empty((columns, rows, 3) if orientation in _LYING else (rows, columns, 3), np.uint8)
    as_stored = _AS_STORED[orientation](rgb) if orientation in _AS_STORED else rgb
    convert = _scaled_gray(image) if image.mode.startswith(("I", "F")) else _colors_and_alpha
    for place, tile in _tiles(image):
        color, alpha = convert(tile)
        part = np.asarray(to_srgb(color, image.info.get("icc_profile")))
        if alpha is not None and alpha_background is not None:
            part = _blend(part, np.asarray(alpha), alpha_background)
        as_stored[place] = part
    return rgb


def alpha_array(image: Image.Image) -> np.ndarray | None:
    """How opaque a decoded Pillow image is: [H, W] uint8, upright; None if it cannot say."""
    if image.mode.startswith(("I", "F")):
        return None
    _, alpha = _colors_and_alpha(ImageOps.exif_transpose(image))
    return None if alpha is None else np.asarray(alpha)


def _tiles(image: Image.Image) -> Iterator[tuple[tuple[slice, slice], Image.Image]]:
    """The parts of a picture, with their places in its array."""
    for top in range(0, image.height, _TILE):
        for left in range(0, image.width, _TILE):
            bottom, right = min(top + _TILE, image.height), min(left + _TILE, image.width)
            tile = image.crop((left, top, right, bottom))
            yield (slice(top, bottom), slice(left, right)), tile


def _colors_and_alpha(tile: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """A tile without its alpha channel, gray if it was, and that channel if it has one."""
    if tile.mode in ("La", "RGBa"):  # premultiplied: Pillow undoes this only towards LA and RGBA
        tile = tile.convert({"La": "LA", "RGBa": "RGBA"}[tile.mode])
    if "transparency" not in tile.info and tile.mode not in ("LA", "PA", "RGBA"):
        return tile.convert("L") if tile.mode == "1" else tile, None
    rgba = tile.convert("RGBA")  # straight to RGB it would warn, or lose the palette
    is_gray = tile.mode in ("1", "L", "LA")
    return rgba.getchannel("R") if is_gray else rgba.convert("RGB"), rgba.getchannel("A")


def _scaled_gray(image: Image.Image) -> Callable[[Image.Image], tuple[Image.Image, None]]:
    if image.mode == "F":
        is_unit = all((np.asarray(tile) <= 1).all() for _, tile in _tiles(image))
        times, over = (255.0 if is_unit else 1.0), 1.0
    else:
        times, over = 1.0, 257.0  # Pillow spreads 16-bit grays of other modes to 65535 too

    def scaled(tile: Image.Image) -> tuple[Image.Image, None]:
        levels = np.asarray(tile, np.float64) * times / over
        levels = np.rint(np.nan_to_num(levels, nan=0.0).clip(0, 255))
        return Image.fromarray(levels.astype(np.uint8)), None

    return scaled


def _blend(rgb: np.ndarray, alpha: np.ndarray, background: Color) -> np.ndarray:
    weight = alpha[:, :, None].astype(np.uint16)
    under = np.array(background, np.uint16)
    return ((rgb * weight + under * (255 - weight) + 127) // 255).astype(np.uint8)
