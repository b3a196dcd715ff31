"""A raw stream of motion JPEG is a clip of all its frames, for any reader, by any name."""

import builtins
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data.clip import Clip
from data.clips import open_clip
from data.wide_pictures import WidePictures
from tests.helpers.videos import decode, encode
from tpsm_jax.errors import InputError
from tpsm_jax.media import jpeg_stream
from tpsm_jax.media.images import read_image
from tpsm_jax.media.jpeg_stream import is_jpeg_stream, is_open_jpeg_stream
from tpsm_jax.media.picture_opening import check_single, open_picture
from tpsm_jax.media.video_reader import open_video

COUNT = 10


def clip_at(path: Path) -> Clip:
    clip = open_clip(path, WidePictures((64, 96), False))
    assert clip is not None
    return clip


def encoded(mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (32, 32)).save(file, "JPEG")
    return file.getvalue()


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


@pytest.mark.parametrize(
    ("pictures", "expected"),
    [
        ((encoded(), encoded()), False),  # a copy
        ((encoded(), encoded("L"), encoded("L")), False),  # maps of brightness
        ((encoded(), encoded("L"), encoded(), encoded()), True),
        ((encoded("L"), encoded("L"), encoded("L")), True),
    ],
)
def test_a_stream_is_three_pictures_alike(
    tmp_path: Path, pictures: tuple[bytes, ...], expected: bool
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"".join(pictures))
    assert is_jpeg_stream(tmp_path / "a.jpg") == expected
    if not expected:
        assert read_image(tmp_path / "a.jpg").shape == (32, 32, 3)
        assert len(list(open_video(tmp_path / "a.jpg"))) == 1


def test_borders_are_found_wherever_blocks_end(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = encoded()
    for padding in (0, 1, 64):
        data = (picture + bytes(padding)) * 3
        for block in range(69, 200):
            monkeypatch.setattr(jpeg_stream, "_BLOCK", block)
            assert is_open_jpeg_stream(io.BytesIO(data), "a.jpg")
    assert not is_open_jpeg_stream(io.BytesIO((picture + bytes(65)) * 3), "a.jpg")


def test_a_file_that_shrinks_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shrinking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            if len(data) > 3:
                self.truncate(90)
            return data

    monkeypatch.setattr(jpeg_stream, "_BLOCK", 80)
    assert not is_open_jpeg_stream(Shrinking(encoded() * 3), "a.jpg")


def test_a_picture_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (96, 64), "red").save(tmp_path / "a.jpg", quality=100, comment=encoded() * 2)
    opened, original = [], open

    def counting(file: Any, *options: Any, **more: Any) -> Any:
        opened.append(file)
        return original(file, *options, **more)

    monkeypatch.setattr(builtins, "open", counting)
    picture = read_image(tmp_path / "a.jpg")
    assert opened.count(tmp_path / "a.jpg") + opened.count(str(tmp_path / "a.jpg")) == 1
    np.testing.assert_allclose(picture, np.full((64, 96, 3), (255, 0, 0)), atol=2)
    with open(tmp_path / "a.jpg", "rb") as file:
        file.seek(7)
        assert not is_open_jpeg_stream(file, "a.jpg")
        assert file.tell() == 7


def test_a_decoded_picture_can_be_checked(tmp_path: Path) -> None:
    for name, count in (("a.jpg", 1), ("b.jpg", 3)):
        (tmp_path / name).write_bytes(encoded() * count)
        with open_picture(tmp_path / name) as picture:
            picture.load()  # Pillow closes the file
            if count == 1:
                check_single(picture, tmp_path / name)
            else:
                with pytest.raises(ValueError, match="it is a video, motion JPEG"):
                    check_single(picture, tmp_path / name)
