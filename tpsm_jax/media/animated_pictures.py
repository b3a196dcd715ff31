"""Animated pictures (gif, webp, png, avif), and still ones as clips of one frame."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ImageSequence

from tpsm_jax.errors import InputError
from tpsm_jax.media.jpeg_stream import is_jpeg_stream
from tpsm_jax.media.picture_opening import (
    UNREADABLE,
    check_canvas,
    check_single,
    open_picture,
    plays,
)
from tpsm_jax.media.rgb import Color, rgb_array

# Pillow would take some videos for pictures, such as mpg.
_FORMATS = ("GIF", "WEBP", "PNG", "AVIF", "JPEG", "BMP", "TIFF", "PPM", "JPEG2000")

# Browsers show frames of this many milliseconds or less for a tenth of a second.
_TOO_SHORT = 10


def is_picture(path: Path) -> bool:
    """Whether a file is a picture by its content, animated or not.

    A raw stream of motion JPEG is a video. Otherwise the name does not count.

    Raises:
      InputError: it is HEIC, and pillow-heif is not installed.
    """
    if not path.is_file():  # a pipe would be waited for without end
        return False
    try:
        if is_jpeg_stream(path):
            return False
        with open_picture(path, _FORMATS):
            return True
    except OSError:
        return False
    except UNREADABLE:
        return True  # a broken one; reading it says what is wrong


def read_durations(path: Path, whole: bool) -> list[int]:
    """Decodes an animated picture to find how long each of its frames is shown.

    Args:
      path: the file.
      whole: whether a frame that cannot be read is an error.

    Returns:
      Milliseconds of each frame that can be read, at least one.

    Raises:
      InputError: no frame can be read, or one cannot and `whole` is set.
    """
    found: list[int] = []
    try:
        with open_picture(path, _FORMATS) as image:
            frames = ImageSequence.Iterator(image) if plays(image) else [image]
            if not plays(image):
                check_single(image, path)
            for index, frame in enumerate(frames):
                if plays(image):
                    check_canvas(frame)  # frames may go beyond the size that a gif declares
                frame.load()  # Pillow knows a frame's duration only once it is decoded
                if index >= _first(image):
                    duration = frame.info.get("duration", 0)
                    found.append(duration if duration > _TOO_SHORT else 100)
    except UNREADABLE as error:
        if whole or not found:
            reason = str(error) or repr(error)
            raise InputError(f"cannot read frame {len(found)} of {path}: {reason}") from None
    return found


def read_frames(
    path: Path, count: int, alpha_background: Color | None = None
) -> Iterator[np.ndarray]:
    """Reads the first `count` frames, [H, W, 3] uint8; see `rgb_array` for the background."""
    with open_picture(path, _FORMATS) as image:
        for index in range(count):
            image.seek(_first(image) + index)
            yield rgb_array(image, alpha_background=alpha_background, upright=True)


def _first(image: Any) -> int:
    # A png may begin with a picture for viewers that show no animations; it is no frame.
    return int(bool(getattr(image, "default_image", False)))
