"""A raw stream of motion JPEG is a clip of all its frames, for any reader, by any name."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.clips import Clip, open_clip
from data.wide_pictures import WidePictures
from tests.helpers.videos import decode, encode
from tpsm_jax.errors import InputError
from tpsm_jax.media.images import read_image
from tpsm_jax.media.jpeg_stream import is_jpeg_stream
from tpsm_jax.media.video_reader import open_video

COUNT = 10


def clip_at(path: Path) -> Clip:
    clip = open_clip(path, WidePictures((64, 96), False))
    assert clip is not None
    return clip


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    return encode(tmp_path / "a.mjpeg", "-c:v", "mjpeg", "-q:v", "2", "-f", "mjpeg", count=COUNT)


@pytest.mark.parametrize("name", ["a.mjpeg", "b.MJPG", "b.jpg", "b.mp4", "b.png"])
def test_all_frames_are_read(stream: Path, name: str) -> None:
    expected = decode(stream)
    path = stream.rename(stream.with_name(name))
    assert is_jpeg_stream(path)
    for whole in (False, True):
        video = open_video(path, whole=whole)
        np.testing.assert_array_equal(list(video), expected)
        assert video.fps == 25
    clip = clip_at(path)
    assert not clip.has_one_frame
    np.testing.assert_array_equal(list(clip.frames()), expected)
    np.testing.assert_array_equal(clip.pair(0.95, 0.35), [expected[3], expected[9]])
    with pytest.raises(InputError, match="it is a video, motion JPEG, and one picture is wanted"):
        read_image(path)


@pytest.mark.parametrize("padding", [b"\0", b"\xff\xff", bytes(40)])
def test_pictures_with_padding_between_them(tmp_path: Path, padding: bytes) -> None:
    for level in range(3):
        Image.new("RGB", (32, 32), (80 * level,) * 3).save(tmp_path / f"{level}.jpg")
    pictures = [(tmp_path / f"{level}.jpg").read_bytes() for level in range(3)]
    (tmp_path / "a").write_bytes(padding.join(pictures))
    levels = [round(float(frame.mean()) / 80) for frame in open_video(tmp_path / "a")]
    assert levels == [0, 1, 2]


def test_a_single_picture_is_a_stream_by_its_name_alone(tmp_path: Path) -> None:
    for name in ("a.mjpeg", "a.jpg"):
        Image.new("RGB", (96, 64)).save(tmp_path / name, "JPEG")
        assert len(list(open_video(tmp_path / name))) == 1
        assert is_jpeg_stream(tmp_path / name) == (name == "a.mjpeg")


def test_a_picture_with_a_picture_of_its_size_in_its_notes(tmp_path: Path) -> None:
    """A maker's notes end in a preview; the border is inside a segment, and sizes differ."""
    small = tmp_path / "small.jpg"
    Image.new("RGB", (16, 16)).save(small)
    notes = 2 * small.read_bytes()
    Image.new("RGB", (96, 64)).save(tmp_path / "a.jpg", comment=notes)
    assert notes in (tmp_path / "a.jpg").read_bytes()
    assert not is_jpeg_stream(tmp_path / "a.jpg")
