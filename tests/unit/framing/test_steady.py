"""One box for a clip, whatever was found in its frames."""

import pytest

from tpsm_jax.framing.boxes import Box, Region
from tpsm_jax.framing.steady import clip_box

SHAPE = (400, 600, 3)


def square(x, y, side=100):
    return Region(x, y, x + side, y + side)


def test_the_box_holds_all_that_was_found():
    made = clip_box([square(100, 100), None, square(150, 120), square(130, 90)], SHAPE, 1.0)
    assert made.box == Box(100, 80, 150, 150)
    assert made.outside == made.strays == []


@pytest.mark.parametrize("wrong", [square(480, 290), square(100, 100, 290), square(120, 120, 20)])
def test_a_wrong_find_is_left_out(wrong):
    finds = [square(100, 100), square(110, 100), wrong, square(120, 105), square(105, 95)]
    made = clip_box(finds, SHAPE, 1.0)
    assert made.strays == [2]
    assert made.box == clip_box([each for each in finds if each != wrong], SHAPE, 1.0).box


def test_somebody_who_walks_is_no_wrong_find():
    finds = [square(40 * step, 100) for step in range(8)]
    made = clip_box(finds, SHAPE, 1.0)
    assert made.strays == []
    assert made.box.width == 380
    assert made.outside == []


def test_a_subject_that_leaves_the_largest_box_is_reported():
    finds = [square(60 * step, 100) for step in range(9)]
    made = clip_box(finds, SHAPE, 1.0)
    assert made.box == Box(90, 0, 400, 400)
    assert made.outside == [0, 1, 7, 8]


def test_nothing_found():
    assert clip_box([None, None], SHAPE, 1.0) is None


def test_finds_of_which_no_two_agree_are_all_enclosed():
    finds = [square(0, 0, 1), square(590, 0, 10), square(0, 0, 100)]
    made = clip_box(finds, SHAPE, 1.0)
    assert made.strays == []
    assert (made.box.left, made.box.width) == (100, 400)  # the largest in the middle
