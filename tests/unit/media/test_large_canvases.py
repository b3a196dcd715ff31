"""An animation or a video of a huge canvas in a small file is refused at once, by any reader."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageFile

from data.clips import StripClip, VideoClip
from data.wide_pictures import WidePictures
from tests.helpers.videos import encode
from tpsm_jax.errors import InputError
from tpsm_jax.media import animated_pictures, container, picture_opening
from tpsm_jax.media.images import read_header, read_image, read_wide_picture
from tpsm_jax.media.picture_opening import MOVING_LARGEST
from tpsm_jax.media.video_reader import open_video

SIDE = 13_000  # Pillow takes so many pixels
LZW = b"\x02\x02\x44\x01\x00"  # one pixel


def gif(frames: list[tuple[int, int]], width: int, height: int) -> bytes:
    """Frames of a pixel each, at (left, top)."""
    data = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(3) + b"\xff" * 3
    for left, top in frames:
        data += b"\x21\xf9\x04\0\x0a\0\0\0\x2c" + struct.pack("<HHHHB", left, top, 1, 1, 0) + LZW
    return data + b";"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def apng(width: int, height: int) -> bytes:
    """Two frames, whose pixels are missing."""
    control = struct.pack(">IIIIHHBB", width, height, 0, 0, 1, 10, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"acTL", struct.pack(">II", 2, 0))
        + chunk(b"fcTL", bytes(4) + control)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"fcTL", struct.pack(">I", 1) + control)
        + chunk(b"fdAT", struct.pack(">I", 2) + zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def set_limit(monkeypatch: pytest.MonkeyPatch, pixels: int) -> None:
    for module in (picture_opening, container):
        monkeypatch.setattr(module, "MOVING_LARGEST", pixels)


def readers(path: Path) -> list[Callable[[], object]]:
    clip = StripClip(path, WidePictures((64, 64), False))
    return [
        lambda: open_video(path),
        lambda: open_video(path, whole=True),
        lambda: read_image(path),
        lambda: read_wide_picture(path),
        lambda: read_header(path),
        lambda: list(clip.frames()),
        lambda: clip.pair(0, 0.5),
        lambda: VideoClip(path).pair(0, 0.5),
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.gif", gif([(0, 0), (1, 0)], SIDE, SIDE)), ("a.png", apng(SIDE, SIDE))],
)
def test_a_huge_canvas_is_refused_before_a_frame_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)

    def fail(_: Image.Image) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    for read in readers(tmp_path / name):
        with pytest.raises(InputError) as error:
            read()
        assert (
            f"{SIDE} x {SIDE} pixels are more than {MOVING_LARGEST}, the most of an animation"
            in (str(error.value))
        )


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
def test_the_limit_is_inclusive_for_every_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    frames = [Image.new("RGB", (32, 16), color) for color in ("red", "blue")]
    path = tmp_path / f"a.{kind.lower()}"
    frames[0].save(path, kind, save_all=True, append_images=frames[1:])
    set_limit(monkeypatch, 32 * 16)
    assert len(list(open_video(path))) == 2
    set_limit(monkeypatch, 32 * 16 - 1)
    for read in readers(path):
        with pytest.raises(InputError, match="32 x 16 pixels are more than 511, the most of an"):
            read()
    frames[0].save(path, kind)  # a still picture has Pillow's limit
    assert read_image(path).shape == (16, 32, 3)
    assert len(list(open_video(path))) == 1


def test_a_gif_that_grows_as_it_plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.gif").write_bytes(gif([(0, 0), (1, 0), (99, 99)], 2, 2))
    set_limit(monkeypatch, 9_999)
    assert animated_pictures.read_durations(tmp_path / "a.gif", whole=False) == [100, 100]
    with pytest.raises(InputError, match="cannot read frame 2 of .* 100 x 100 pixels are more"):
        open_video(tmp_path / "a.gif", whole=True)


def test_a_video_has_the_same_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode(tmp_path / "a.mp4", "-c:v", "mpeg4", "-vf", "scale=640:384", count=3)
    set_limit(monkeypatch, 640 * 384)
    assert len(list(open_video(path))) == 3
    set_limit(monkeypatch, 640 * 384 - 1)
    for read in (lambda: open_video(path), lambda: VideoClip(path).pair(0, 0.5)):
        with pytest.raises(InputError, match="frames of 640 x 384, more than the 245759 pixels"):
            read()


def test_a_video_that_grows_as_it_plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("small.jpg", (96, 64)), ("large.jpg", (960, 640))):
        Image.new("RGB", size).save(tmp_path / name)
    small, large = ((tmp_path / name).read_bytes() for name in ("small.jpg", "large.jpg"))
    (tmp_path / "a.mjpeg").write_bytes(2 * small + large + small)
    assert len(list(open_video(tmp_path / "a.mjpeg"))) == 4
    set_limit(monkeypatch, 960 * 640 // 2 - 1)
    assert [len(frame) for frame in open_video(tmp_path / "a.mjpeg")] == [64, 64, 64]
    with pytest.raises(InputError, match="damaged after 2 frames: Picture size 960x640 exceeds"):
        list(open_video(tmp_path / "a.mjpeg", whole=True))
