"""One frame as one picture, complete or not there at all."""

import os

import numpy as np
import pytest
from PIL import Image

from tests.helpers.small import pictures
from tpsm_jax.errors import InputError
from tpsm_jax.media.video_writer import FrameWriter

FRAME = (pictures(1, 32, 48, seed=3)[0] * 255).astype(np.uint8)


@pytest.mark.parametrize(("name", "bound"), [("a.png", 0), ("a.PNG", 0), ("a.jpg", 12)])
def test_a_frame_is_a_picture(tmp_path, name, bound):
    with FrameWriter(tmp_path / name, fps=25) as writer:
        writer.write(FRAME)
    with Image.open(tmp_path / name) as image:
        found = np.asarray(image)
    assert np.abs(found.astype(int) - FRAME).mean() <= bound
    assert os.listdir(tmp_path) == [name]


def write(path, count):
    with FrameWriter(path, fps=25) as writer:
        for _ in range(count):
            writer.write(FRAME)


@pytest.mark.parametrize(
    ("count", "match"), [(0, "there was no frame"), (2, "the driving clip has several frames")]
)
def test_another_number_of_frames_leaves_what_was_there(tmp_path, count, match):
    (tmp_path / "a.png").write_bytes(b"of an earlier run")
    with pytest.raises(InputError, match=match):
        write(tmp_path / "a.png", count)
    assert (tmp_path / "a.png").read_bytes() == b"of an earlier run"
    assert os.listdir(tmp_path) == ["a.png"]


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "folder.png").mkdir()
    for name in ("folder.png", "missing/a.png"):
        with pytest.raises(InputError, match="is a folder|cannot write"):
            FrameWriter(tmp_path / name, fps=25)
