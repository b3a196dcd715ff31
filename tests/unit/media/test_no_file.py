"""A pipe among files is refused at once, by all readers; opening it would wait for a writer."""

import os
from pathlib import Path

import pytest

from data.clips import StripClip, VideoClip
from data.wide_pictures import WidePictures
from tpsm_jax.errors import InputError
from tpsm_jax.media.images import read_header, read_image
from tpsm_jax.media.video_reader import open_video


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a.png", "a"])
def test_a_pipe(tmp_path: Path, name: str) -> None:
    os.mkfifo(path := tmp_path / name)
    video, strip = VideoClip(path), StripClip(path, WidePictures((8, 8), False))
    readers = (
        *(lambda: open_video(path), lambda: read_image(path), lambda: read_header(path)),
        *(lambda: video.pair(0, 0), lambda: list(video.frames()), lambda: video.frame_rate),
        *(lambda: strip.pair(0, 0), lambda: list(strip.frames())),
    )
    for read in readers:
        with pytest.raises(InputError, match=f"{name}:? (it )?is no file"):
            read()
    assert not strip.has_one_frame
