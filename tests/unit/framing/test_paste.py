"""The animated crop goes back into its picture, whose other pixels stay as they are."""

import numpy as np
import pytest
from PIL import Image

from tpsm_jax.framing.boxes import Box, crop
from tpsm_jax.framing.paste import Paster, feathered

BOX = Box(30, 20, 60, 50)


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).integers(0, 256, (100, 150, 3), np.uint8)


def test_pixels_outside_the_box_stay_to_the_bit(picture):
    pasted = Paster(picture, BOX)(np.zeros((64, 64, 3), np.uint8))
    outside = np.ones(picture.shape[:2], bool)
    crop(outside, BOX)[:] = False
    np.testing.assert_array_equal(pasted[outside], picture[outside])
    assert (crop(pasted, BOX) != crop(picture, BOX)).any()


def test_its_own_crop_changes_nothing(picture):
    np.testing.assert_array_equal(Paster(picture, BOX)(crop(picture, BOX)), picture)


def test_the_middle_is_the_frame(picture):
    frame = np.full((50, 60, 3), 200, np.uint8)
    pasted = Paster(picture, BOX)(frame)
    inside = feathered(BOX, picture.shape) == 256
    assert inside.mean() > 0.7
    assert (crop(pasted, BOX)[inside] == 200).all()


def test_a_frame_is_resized_to_the_box(picture):
    frame = np.random.default_rng(1).integers(0, 256, (25, 30, 3), np.uint8)
    inside = feathered(BOX, picture.shape) == 256
    expected = np.asarray(Image.fromarray(frame).resize((60, 50), Image.Resampling.BICUBIC))
    pasted = crop(Paster(picture, BOX)(frame.astype(np.float32) / 255), BOX)
    np.testing.assert_array_equal(pasted[inside], expected[inside])


def test_the_picture_is_not_written_to(picture):
    before = picture.copy()
    Paster(picture, BOX)(np.zeros((8, 8, 3), np.uint8))
    np.testing.assert_array_equal(picture, before)


def test_the_edge_is_soft():
    weight = feathered(BOX, (100, 150)).astype(int)
    for line in (weight[25], weight[:, 30]):
        middle = len(line) // 2
        assert line[0] < 64
        assert line[middle] == 256
        assert (np.diff(line[:middle]) >= 0).all()
        assert np.abs(np.diff(line)).max() < 128
        np.testing.assert_array_equal(line, line[::-1])


def test_there_is_no_edge_where_the_picture_ends():
    assert (feathered(Box(0, 0, 150, 100), (100, 150)) == 256).all()
    weight = feathered(Box(0, 0, 60, 100), (100, 150))
    assert (weight[:, 0] == 256).all()
    assert (weight[:, -1] < 64).all()
