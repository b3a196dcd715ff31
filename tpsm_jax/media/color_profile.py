"""Colors of a picture by its ICC profile, as sRGB."""

import functools
import io

import numpy as np
from PIL import Image, ImageCms

# The modes in which Pillow holds the colors that a profile speaks of.
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
# Profiles of sRGB differ in their last digits: they keep a picture as it is.
_SAME_COLOR = 2  # of 255


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Converts a picture to sRGB.

    Args:
      image: a picture without alpha, of mode L, RGB, CMYK or another that Pillow converts to RGB.
      profile: its ICC profile. One that is broken, or of other colors than the picture, such as
        CMYK for an RGB picture, is ignored.

    Returns:
      The picture in mode RGB. Its pixels are unchanged if the profile is that of sRGB.
    """
    found = _transform_of(profile) if profile else None
    if found is not None:
        mode, transform = found
        has_its_colors = image.mode != "CMYK" if mode == "RGB" else image.mode == mode
        if has_its_colors:
            return transform.apply(image.convert(mode))
    return image.convert("RGB")


@functools.lru_cache(maxsize=16)
def _transform_of(profile: bytes) -> tuple[str, ImageCms.ImageCmsTransform] | None:
    """The mode that a profile is for and its way to sRGB, or None if it changes nothing."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _MODES.get(source.profile.xcolor_space.strip())
        if mode is None:
            return None
        target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        # With a finer table dark grays are right; it takes no longer to apply.
        flags = ImageCms.Flags.HIGHRESPRECALC
        transform = ImageCms.buildTransform(source, target, mode, "RGB", flags=flags)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return None if mode != "CMYK" and _changes_nothing(transform, mode) else (mode, transform)


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    if mode == "RGB":
        colors = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(len(levels), -1, 3)
    else:
        colors = levels[None]
    before = Image.fromarray(colors)
    after = np.asarray(transform.apply(before), np.int16)
    return bool(np.abs(after - np.asarray(before.convert("RGB"))).max() <= _SAME_COLOR)
