"""Boxes keep proportions and lie within the picture."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpsm_jax.errors import InputError
from tpsm_jax.framing.boxes import (
    Box,
    Region,
    box_around,
    box_at,
    crop,
    enlarged,
    is_within,
    largest_box,
    union,
)

SIDES = st.integers(1, 3000)
PLACES = st.floats(-500, 3500)


@given(SIDES, SIDES, PLACES, PLACES, st.floats(0, 3000), st.floats(0, 3000), st.floats(0.25, 4))
def test_a_box_lies_within_the_picture(rows, columns, left, top, wide, high, proportions):
    region = Region(left, top, left + wide, top + high)
    box = box_around(region, (rows, columns, 3), proportions)
    assert 0 <= box.left <= box.left + box.width <= columns
    assert 0 <= box.top <= box.top + box.height <= rows
    assert min(box.width, box.height) >= 1
    if min(box.width, box.height) > 40:
        assert box.width / box.height == pytest.approx(proportions, rel=0.05)


@given(st.integers(50, 400), st.integers(50, 400), st.integers(0, 500), st.integers(0, 500))
def test_a_region_that_fits_is_enclosed(wide, high, left, top):
    region = Region(left, top, left + wide, top + high)
    box = box_around(region, (1000, 1000, 3), 1.0)
    assert box.width == box.height == max(wide, high)
    assert is_within(region, box, tolerance=1 / max(wide, high))


def test_a_box_is_moved_into_the_picture():
    assert box_around(Region(-20, 90, 20, 130), (100, 200, 3), 1.0) == Box(0, 60, 40, 40)


def test_a_box_that_is_too_large_is_shrunk():
    assert box_around(Region(0, 0, 200, 150), (100, 200, 3), 1.0) == Box(50, 0, 100, 100)


@pytest.mark.parametrize(
    ("shape", "proportions", "box"),
    [
        ((100, 160), 1.0, Box(30, 0, 100, 100)),
        ((160, 100), 1.0, Box(0, 30, 100, 100)),
        ((100, 160), 2.0, Box(0, 10, 160, 80)),
        ((100, 100), 1.0, Box(0, 0, 100, 100)),
    ],
)
def test_the_largest_box_is_in_the_middle(shape, proportions, box):
    assert largest_box(shape, proportions) == box


def test_a_box_of_a_person():
    assert box_at(10, 20, 50, (100, 200, 3), 1.0, "it") == Box(10, 20, 50, 50)
    assert box_at(10, 20, 50, (100, 200, 3), 2.0, "it") == Box(10, 20, 100, 50)


@pytest.mark.parametrize("place", [(160, 0, 50), (0, 60, 50), (0, 0, 101)])
def test_a_box_outside_is_refused(place):
    with pytest.raises(InputError, match="does not lie within the source of 200 x 100"):
        box_at(*place, (100, 200, 3), 1.0, "the source")


def test_a_crop_is_the_part_in_the_box():
    picture = np.arange(4 * 6 * 3).reshape(4, 6, 3)
    np.testing.assert_array_equal(crop(picture, Box(1, 2, 3, 2)), picture[2:4, 1:4])


def test_regions():
    assert enlarged(Region(10, 20, 30, 60), 2) == Region(0, 0, 40, 80)
    assert union([Region(0, 5, 10, 10), Region(-3, 6, 4, 20)]) == Region(-3, 5, 10, 20)
    assert not is_within(Region(0, 0, 10, 11), Box(0, 0, 10, 10))
    assert is_within(Region(0, 0, 10, 11), Box(0, 0, 10, 10), tolerance=0.1)
