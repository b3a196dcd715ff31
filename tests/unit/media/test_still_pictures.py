"""Still pictures as clips: one frame, upright, for any reader."""

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from data.clips import StripClip
from data.wide_pictures import WidePictures
from tpsm_jax.media.images import read_header, read_image
from tpsm_jax.media.video_reader import open_video


@pytest.mark.parametrize(("name", "kind"), [("a.tiff", "TIFF"), ("a.jpg", "MPO")])
def test_all_readers_see_the_first_picture(tmp_path: Path, name: str, kind: str) -> None:
    pages = [Image.new("RGB", (16, 16), (level, level, level)) for level in (40, 120, 200)]
    path = tmp_path / name
    pages[0].save(path, format=kind, save_all=True, append_images=pages[1:])
    video, clip = open_video(path, whole=True), StripClip(path, WidePictures((16, 16), False))
    assert (read_header(path).is_animated, video.frame_count) == (False, 1)
    for frames in (list(video), list(clip.frames())):
        assert [round(float(np.mean(frame))) for frame in frames] == [40]


def test_a_picture_drives_upright(tmp_path: Path) -> None:
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, 16:] = 255
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # to be turned clockwise
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    (frame,) = open_video(tmp_path / "a.png")
    np.testing.assert_array_equal(frame, read_image(tmp_path / "a.png"))
    assert (frame.shape, frame[0, 0, 0], frame[-1, 0, 0]) == ((32, 16, 3), 0, 255)
