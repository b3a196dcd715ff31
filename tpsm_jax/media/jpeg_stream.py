"""Raw motion JPEG: JPEGs of one size one after the other, which Pillow takes for the first one."""

import io
import mmap
import re
from pathlib import Path

from PIL import Image

from tpsm_jax.media.pillow_warnings import quiet_pillow

SUFFIXES = (".mjpeg", ".mjpg")
_START = b"\xff\xd8\xff"
# The end of one picture, what recorders pad it with, and the beginning of the next one.
_BORDER = re.compile(rb"\xff\xd9[\x00\xff]{0,64}?(?=\xff\xd8\xff)")
_BORDERS = 8  # looked at: two previews in the metadata of a photo have one between them, too
_HEADER = 2**20  # bytes from the beginning of a picture in which its size stands


def is_jpeg_stream(path: str | Path) -> bool:
    """Whether a file is a raw stream of motion JPEG, by its content, or by its name if it is JPEG.

    A photo that holds a smaller copy, a second lens's picture or a map of brightness is none.

    Args:
      path: a file.

    Raises:
      OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        if file.read(len(_START)) != _START:
            return False
        if Path(path).suffix.lower() in SUFFIXES:
            return True
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            size = None
            for count, border in enumerate(_BORDER.finditer(data)):
                size = size or _size(data[:_HEADER])
                if size is None or count == _BORDERS:
                    return False
                if _size(data[border.end() : border.end() + _HEADER]) == size:
                    return True
    return False


def _size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of a JPEG of its own, None for what is a part of one or cannot be read."""
    quiet_pillow()
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            return None if "mp" in image.info else image.size
    except Exception:  # whatever Pillow raises, it is no picture
        return None
