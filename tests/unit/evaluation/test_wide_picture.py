"""Frames side by side in one picture."""

import os
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from tpsm_jax.errors import InputError
from tpsm_jax.evaluation import wide_picture
from tpsm_jax.evaluation.wide_picture import WidePicture


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 16, 16), (7, 33, 20)])
def test_pixels_are_kept(tmp_path, shape):
    frames = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    with WidePicture(tmp_path / "clip#1.mp4.png") as picture:
        picture.write(frames[:1])
        if len(frames) > 1:
            picture.write(frames[1:])
    with Image.open(tmp_path / "clip#1.mp4.png") as image:
        image.verify()
    with Image.open(tmp_path / "clip#1.mp4.png") as image:
        found = np.asarray(image)
    np.testing.assert_array_equal(found, np.concatenate(frames, axis=1))
    assert os.listdir(tmp_path) == ["clip#1.mp4.png"]


def test_nothing_is_left_of_one_that_failed(tmp_path):
    picture = WidePicture(tmp_path / "x.png")
    picture.write(np.zeros((1, 4, 4, 3), np.uint8))
    picture.__exit__(ValueError, ValueError("of a clip"), None)
    assert os.listdir(tmp_path) == []


def test_a_long_clip_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(wide_picture, "_BLOCK", 2**16)
    frames = np.random.default_rng(0).integers(0, 256, (25, 64, 64, 3), np.uint8)
    tracemalloc.start()
    try:
        with WidePicture(tmp_path / "x.png") as picture:
            for _ in range(10):
                picture.write(frames)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * frames.nbytes / 4  # a row is 1 / 64 of them; zlib takes a part too
    with Image.open(tmp_path / "x.png") as image:
        found = np.asarray(image)
    np.testing.assert_array_equal(found, np.concatenate([*frames] * 10, axis=1))


def test_frames_that_do_not_fit_on_the_disk(tmp_path):
    picture = WidePicture(tmp_path / "x.png")
    picture._frames.close()
    picture._frames = open("/dev/full", "wb")  # noqa: SIM115  # closed by __exit__
    with pytest.raises(InputError, match="x.png: No space left"), picture:
        picture.write(np.zeros((1, 4, 4, 3), np.uint8))
    assert os.listdir(tmp_path) == []


def test_a_full_disk(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(WidePicture, "_encode", full)
    with (
        pytest.raises(InputError, match="x.png: No space left"),
        WidePicture(tmp_path / "x.png") as picture,
    ):
        picture.write(np.zeros((1, 4, 4, 3), np.uint8))
    assert os.listdir(tmp_path) == []
