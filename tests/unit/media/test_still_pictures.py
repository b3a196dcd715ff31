"""Still pictures as clips: one frame, upright, for any reader."""

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from data.clips import StripClip
from data.wide_pictures import WidePictures
from tpsm_jax.errors import InputError
from tpsm_jax.media.images import read_header, read_image
from tpsm_jax.media.video_reader import open_video


def levels() -> list[Image.Image]:
    return [Image.new("RGB", (16, 16), (level, level, level)) for level in (40, 120, 200)]


def write_lenses(path: Path) -> None:
    first, *others = levels()
    first.save(path, format="MPO", save_all=True, append_images=others)


def write_small_copies(path: Path) -> None:
    first, *others = levels()
    for copy in others:
        copy.encoderinfo = {"tiffinfo": {254: 1}}  # NewSubfileType: of reduced resolution
    first.save(path, format="TIFF", save_all=True, append_images=others)


def write_preview(path: Path) -> None:
    small = encoded(Image.new("RGB", (8, 8), (200, 200, 200)))
    path.write_bytes(encoded(levels()[0]) + small)


def encoded(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "write"),
    [("a.jpg", write_lenses), ("a.tiff", write_small_copies), ("a.jpg", write_preview)],
)
def test_all_readers_see_the_first_picture(
    tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    path = tmp_path / name
    write(path)
    video, clip = open_video(path, whole=True), StripClip(path, WidePictures((16, 16), False))
    assert (read_header(path).is_animated, video.frame_count) == (False, 1)
    for frames in (list(video), list(clip.frames())):
        assert [round(float(np.mean(frame))) for frame in frames] == [40]
    assert round(float(np.mean(read_image(path)))) == 40


def test_the_largest_of_the_sizes_of_an_icon(tmp_path: Path) -> None:
    levels()[0].resize((32, 32)).save(tmp_path / "a.ico", sizes=[(16, 16), (32, 32)])
    assert read_image(tmp_path / "a.ico").shape == (32, 32, 3)


@pytest.mark.parametrize("tags", [{}, {254: 0}, {254: 2}, {254: 2, 255: 3}])
def test_pages_are_refused_by_all_readers(tmp_path: Path, tags: dict[int, int]) -> None:
    path = tmp_path / "a.tiff"
    first, *others = levels()
    for page in (first, *others):
        page.encoderinfo = {"tiffinfo": tags}  # NewSubfileType 2: a page of a document
    first.save(path, save_all=True, append_images=others, tiffinfo=tags)
    clip = StripClip(path, WidePictures((16, 16), False))
    readers: list[Callable[[], object]] = [
        lambda: open_video(path),
        lambda: open_video(path, whole=True),
        lambda: read_image(path),
        lambda: list(clip.frames()),
        lambda: clip.pair(0, 0.5),
    ]
    for read in readers:
        with pytest.raises(InputError, match=r"a\.tiff: it has several pages, and one picture is"):
            read()


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("pointer", [4, 9999, 2**32 - 1])
def test_a_damaged_pointer_to_a_page_is_no_page(
    tmp_path: Path, pointer: int, compression: str
) -> None:
    path = tmp_path / "a.tiff"
    levels()[0].save(path, compression=compression)
    data = bytearray(path.read_bytes())
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    struct.pack_into("<I", data, directory + 2 + 12 * count, pointer)
    path.write_bytes(data)
    for picture in (read_image(path), *open_video(path)):
        np.testing.assert_array_equal(picture, np.full((16, 16, 3), 40))


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_an_animation_is_no_picture(tmp_path: Path, name: str) -> None:
    first, *others = levels()
    first.save(tmp_path / name, save_all=True, append_images=others)
    with pytest.raises(InputError, match="it is animated, and one picture is wanted: save the one"):
        read_image(tmp_path / name)
    assert len(list(open_video(tmp_path / name))) == 3


def test_a_picture_drives_upright(tmp_path: Path) -> None:
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, 16:] = 255
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # to be turned clockwise
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    (frame,) = open_video(tmp_path / "a.png")
    np.testing.assert_array_equal(frame, read_image(tmp_path / "a.png"))
    assert (frame.shape, frame[0, 0, 0], frame[-1, 0, 0]) == ((32, 16, 3), 0, 255)
