"""Pages of a TIFF and further pictures in a JPEG do not play, for any reader."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.clips import StripClip, WidePictures
from tpsm_jax.media.images import read_header
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
