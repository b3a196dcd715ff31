"""Pictures opened with Pillow: of what size, one or several in a file."""

import struct
from pathlib import Path

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from tpsm_jax.media.heic import is_heic, teach_pillow_heic
from tpsm_jax.media.jpeg_stream import is_jpeg_stream, is_open_jpeg_stream
from tpsm_jax.media.pillow_warnings import quiet_pillow

# Pillow raises any of these on broken files, depending on the format.
UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    SyntaxError,
    RuntimeError,
    EOFError,
    LookupError,
    ArithmeticError,
    MemoryError,  # a length in a damaged file may be anything
    struct.error,
    Image.DecompressionBombError,
)

# The most pixels of a still picture are Pillow's, twice Image.MAX_IMAGE_PIXELS, 178,956,970.
# A PNG of frames side by side may have more: 11 minutes of 256 x 256 at 25 frames a second. They
# take 3 GB, and 7 GB while they are read: 3 bytes a pixel, and 4 in Pillow.
WIDE_LARGEST = 2**30
# The most pixels of a frame of an animation or a video, a little more than 8K. A small file may
# have any number of frames, and each takes the time and memory of the whole canvas.
MOVING_LARGEST = 8192 * 4608

_ANIMATED_FORMATS = ("AVIF", "GIF", "PNG", "WEBP")
# Of these the further pictures are others of the same: a second lens, a layer, a small copy.
_ONE_PICTURE = ("HEIF", "MPO", "PSD")
# TIFF's tags that mark a page as a small copy or a mask of another one.
_NEW_SUBFILE_TYPE, _SUBFILE_TYPE = 254, 255
_COPY = 0b101  # bits of the first: reduced and mask; the bit between them is a page of a document


def open_picture(path: str | Path, formats: tuple[str, ...] | None = None) -> Image.Image:
    """Opens a picture of some of Pillow's formats, or HEIC where pillow-heif is installed.

    Args:
      path: the file.
      formats: Pillow's names of formats; None for all of them.

    Raises:
      InputError: it is HEIC, and pillow-heif is not installed.
      OSError: it is of no such format, or cannot be read.
      ValueError: it moves, and has more than `MOVING_LARGEST` pixels.
      Image.DecompressionBombError: it has more pixels than Pillow takes.
    """
    quiet_pillow()
    try:
        return _checked(Image.open(path, formats=formats))
    except UnidentifiedImageError:
        if not is_heic(path):
            raise
        teach_pillow_heic(path)
        return Image.open(path)


def open_wide_picture(path: str | Path) -> Image.Image:
    """Opens a picture as `open_picture` does, a PNG also with up to `WIDE_LARGEST` pixels."""
    with open(path, "rb") as file:
        is_png = file.read(8) == b"\x89PNG\r\n\x1a\n"
    if not is_png:
        return open_picture(path)
    quiet_pillow()
    # Image.open is what checks the size.
    return _checked(PngImagePlugin.PngImageFile(path), WIDE_LARGEST)


def plays(image: Image.Image) -> bool:
    """Whether an open picture is animated.

    The further pictures that some cameras put into a JPEG, and the pages of a TIFF, do not play.
    """
    return image.format in _ANIMATED_FORMATS and getattr(image, "is_animated", False)


def check_canvas(image: Image.Image) -> None:
    """Raises: ValueError: an animation has more than `MOVING_LARGEST` pixels."""
    _check_pixels(image, MOVING_LARGEST, ", the most of an animation: make it smaller")


def check_single(image: Image.Image, path: str | Path) -> None:
    """Makes sure that a file in which one picture is looked for holds no more.

    The second lens of a camera, the sizes of an icon, the layers of a drawing and the small copies
    in a TIFF are no more pictures.

    Args:
      image: the picture, opened.
      path: its file.

    Raises:
      ValueError: it holds several, of which one would be taken in silence.
    """
    what = ""
    if image.format == "TIFF":
        is_document = getattr(image, "is_animated", False) and _has_pages(path)
        what = "it has several pages" if is_document else ""
    elif image.format == "JPEG":
        file = getattr(image, "fp", None)  # closed once the picture is decoded
        is_stream = is_open_jpeg_stream(file, path) if file else is_jpeg_stream(path)
        what = "it is a video, motion JPEG" if is_stream else ""
    elif image.format not in _ONE_PICTURE and getattr(image, "is_animated", False):
        what = "it is animated"
    if what:
        raise ValueError(f"{what}, and one picture is wanted: save the one to take as a file")


def _checked(image: Image.Image, largest: int | None = None) -> Image.Image:
    try:
        if plays(image):
            check_canvas(image)
        elif largest is not None:
            _check_pixels(image, largest)
    except BaseException:
        image.close()
        raise
    return image


def _check_pixels(image: Image.Image, largest: int, advice: str = "") -> None:
    if image.width * image.height > largest:
        size = f"{image.width} x {image.height}"
        raise ValueError(f"{size} pixels are more than {largest}{advice}")


def _has_pages(path: str | Path) -> bool:
    # A page that cannot be read leaves Pillow's image half changed, so this one is its own.
    with Image.open(path, formats=("TIFF",)) as image:
        page = 0
        try:
            while True:
                page += 1
                image.seek(page)
                tags = image.tag_v2  # type: ignore[attr-defined]
                is_copy = tags.get(_NEW_SUBFILE_TYPE, 0) & _COPY or tags.get(_SUBFILE_TYPE, 1) == 2
                if not is_copy:
                    return True
        except UNREADABLE:  # there is none, or the pointer to it is damaged
            return False
