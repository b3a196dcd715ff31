"""Pillow's warnings about pictures never reach the terminal, whatever the filters."""

import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.clips import VideoClip
from tests.unit.media.test_large_canvases import chunk
from tpsm_jax.media.images import read_header, read_image, read_wide_picture
from tpsm_jax.media.jpeg_stream import is_jpeg_stream
from tpsm_jax.media.video_reader import open_video

RGB = Image.fromarray(np.arange(12 * 16 * 3, dtype=np.uint8).reshape(12, 16, 3))


def write_damaged_exif(path: Path) -> None:
    RGB.save(path, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12\0\x03\0\0\0\x01\0")


def write_damaged_apng(path: Path) -> None:
    RGB.save(path, "PNG")
    data = path.read_bytes()
    header = 8 + 25
    path.write_bytes(data[:header] + chunk(b"acTL", struct.pack(">II", 0, 0)) + data[header:])


def write_palette(path: Path) -> None:
    RGB.quantize(16).save(path, "PNG", transparency=bytes(range(0, 160, 10)))


def write_large(path: Path) -> None:
    RGB.resize((48, 40)).save(path, "PNG")  # more than half of what Pillow takes, see below


def write_stream(path: Path) -> None:
    RGB.resize((48, 40)).save(path, "JPEG")
    path.write_bytes(3 * path.read_bytes())


READERS: list[Callable[[Path], object]] = [
    read_image,
    read_wide_picture,
    read_header,
    lambda path: list(open_video(path)),
    lambda path: VideoClip(path).pair(0, 0.5),
]


@pytest.mark.parametrize(
    "write", [write_damaged_exif, write_damaged_apng, write_palette, write_large]
)
def test_nothing_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    write: Callable[[Path], None],
) -> None:
    write(tmp_path / "a")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)
    for read in READERS:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read(tmp_path / "a")
    assert capfd.readouterr() == ("", "")


def test_nothing_is_said_of_a_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_stream(tmp_path / "a")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)
    for read in (is_jpeg_stream, lambda path: list(open_video(path))):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert read(tmp_path / "a")


def test_warnings_of_others_are_shown(tmp_path: Path) -> None:
    RGB.save(tmp_path / "a.png")
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        read_image(tmp_path / "a.png")
        warnings.warn("of ours", stacklevel=1)
    assert [str(each.message) for each in shown] == ["of ours"]
