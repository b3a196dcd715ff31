"""Raw motion JPEG: JPEGs of one size one after the other, which Pillow takes for the first one."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from PIL import Image

from tpsm_jax.media.pillow_warnings import quiet_pillow

SUFFIXES = (".mjpeg", ".mjpg")
_START = b"\xff\xd8\xff"
# The end of one picture, what recorders pad it with, and the beginning of the next one.
_BORDER = re.compile(rb"\xff\xd9[\x00\xff]{0,64}?(?=\xff\xd8\xff)")
_LONGEST_BORDER = 2 + 64 + 3
# Fewer pictures alike are a photo with its copy or its map of brightness. More borders than these
# are not searched for them: two previews in the metadata of a photo have one between them, too.
_PICTURES_ALIKE, _BORDERS = 3, 8
_HEADER = 2**20  # bytes from the beginning of a picture in which its size stands
_BLOCK = 2**17  # bytes that are read at a time; most frames of clips are smaller

_Look = tuple[tuple[int, int], str]  # (width, height) and Pillow's mode


def is_jpeg_stream(path: str | Path) -> bool:
    """Whether a file is a raw stream of motion JPEG, by its content, or by its name if it is JPEG.

    A photo that holds a smaller copy, a second lens's picture or a map of brightness is none.

    Args:
      path: a file.

    Raises:
      OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return is_open_jpeg_stream(file, path)


def is_open_jpeg_stream(file: IO[bytes], path: str | Path) -> bool:
    """Whether an open file is a raw stream of motion JPEG; keeps its position.

    Args:
      file: the file. It is read in blocks, not mapped: a mapped file that shrinks meanwhile ends
        the process, and some file systems map none.
      path: its name.

    Raises:
      OSError: it cannot be read.
    """
    position = file.tell()
    try:
        file.seek(0)
        if file.read(len(_START)) != _START:
            return False
        return Path(path).suffix.lower() in SUFFIXES or _has_pictures_alike(file)
    finally:
        file.seek(position)


def _has_pictures_alike(file: IO[bytes]) -> bool:
    first, alike = None, 1
    for count, start in enumerate(_starts(file)):
        first = first or _look(file, 0)
        if first is None or count == _BORDERS:
            return False
        alike += _look(file, start) == first
        if alike == _PICTURES_ALIKE:
            return True
    return False


def _starts(file: IO[bytes]) -> Iterator[int]:
    """Yields where the pictures after the first one begin. The file's position may be changed."""
    offset, rest, is_last = 0, b"", False
    while not is_last:
        file.seek(offset + len(rest))
        block = file.read(_BLOCK)
        is_last = len(block) < _BLOCK
        data = rest + block
        # A border that begins later may end in the next block, and is searched for with that.
        end = len(data) if is_last else len(data) - _LONGEST_BORDER + 1
        for border in _BORDER.finditer(data):
            if border.start() < end:
                yield offset + border.end()
        offset, rest = offset + end, data[end:]


def _look(file: IO[bytes], start: int) -> _Look | None:
    """Size and mode of the JPEG at `start`; None if it is part of an MPO or cannot be read."""
    file.seek(start)
    data = file.read(_HEADER)
    quiet_pillow()
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            return None if "mp" in image.info else (image.size, image.mode)
    except Exception:  # whatever Pillow raises, it is no picture
        return None
