"""Which box --crop chooses, and what it says."""

import argparse

import numpy as np
import pytest

from tpsm_jax.errors import InputError
from tpsm_jax.framing import choice
from tpsm_jax.framing.boxes import Box, Region, box_around
from tpsm_jax.framing.choice import FACE_MARGIN, Crop, Look, choose_box, parse_crop, spread
from tpsm_jax.framing.subject import MARGIN

WIDE = np.zeros((100, 160, 3), np.uint8)
SQUARE = np.zeros((100, 100, 3), np.uint8)


def no_points(pictures):
    raise AssertionError("the model is not asked")


def look(**changed):
    return Look("the source", "--crop", (64, 64), no_points)._replace(**changed)


@pytest.fixture
def faces(monkeypatch):
    """Sets what is found in the pictures, whose first value names them."""

    def set_faces(*found):
        monkeypatch.setattr(choice, "find_faces", lambda picture: found[picture[0, 0, 0]])

    return set_faces


def numbered(count, like=WIDE):
    return [np.full_like(like, number) for number in range(count)]


@pytest.mark.parametrize("way", ["auto", "none"])
def test_square_pictures_are_taken_as_they_are(way):
    assert choose_box([SQUARE], Crop(way), look()) == (None, ())


def test_pixels_that_are_not_square_count():
    """100 x 160 pixels that are shown as a square."""
    assert choose_box([WIDE], Crop(), look(pixel_aspect=0.625)).box is None
    assert choose_box([SQUARE], Crop("center"), look(pixel_aspect=0.5)).box == Box(0, 25, 100, 50)


def test_none_squeezes_in_the_open():
    assert choose_box([WIDE], Crop("none"), look()) == (None, ())


def test_the_middle():
    box, notes = choose_box([WIDE], Crop("center"), look())
    assert box == Box(30, 0, 100, 100)
    assert notes == (
        "the source: cropped to 100 x 100 at 30,0 of 160 x 100, around the middle (--crop takes "
        "another way or LEFT,TOP,SIZE)",
    )


def test_proportions_are_the_models():
    assert choose_box([WIDE], Crop("center"), look(size=(64, 128))).box == Box(0, 10, 160, 80)


@pytest.mark.parametrize("way", ["auto", "subject"])
def test_a_cut_out_decides_by_itself(way):
    box, notes = choose_box([WIDE], Crop(way), look(opaque=Region(100, 20, 140, 60)))
    assert box == Box(98, 18, 44, 44)
    assert "what is not transparent" in notes[0]


def test_a_box_of_ones_own():
    assert choose_box([WIDE], parse_crop("5,6,70"), look()) == (Box(5, 6, 70, 70), ())
    with pytest.raises(InputError, match="does not lie within"):
        choose_box([WIDE], parse_crop("5,36,70"), look())


@pytest.mark.parametrize("text", ["", "1,2", "1,2,0", "1,2,x", "-1,2,3", "1,2,3,4", "middle"])
def test_bad_values(text):
    with pytest.raises(argparse.ArgumentTypeError, match="LEFT,TOP,SIZE"):
        parse_crop(text)


def test_a_face(faces):
    faces([Region(40, 40, 60, 60)])
    side = round(20 * FACE_MARGIN.one)
    top = round(50 - side / 2 - FACE_MARGIN.lift * side)
    assert choose_box([WIDE], Crop("face"), look()).box == Box(50 - side // 2, top, side, side)
    twice = choose_box([WIDE], Crop("face", scale=2), look()).box
    assert twice.width == round(40 * FACE_MARGIN.one)


def test_several_faces(faces):
    small, large = Region(20, 40, 40, 60), Region(100, 40, 130, 70)
    faces([small, large])
    box, notes = choose_box([WIDE], Crop("face"), look())
    assert box.left > 60
    assert "2 faces: took the largest, number 2 from the left (--face N takes another)" in notes[1]
    box, notes = choose_box([WIDE], Crop("face", face=1), look())
    assert box.left + box.width < 60
    assert len(notes) == 1
    with pytest.raises(InputError, match="no face 3 in the source, which shows 2"):
        choose_box([WIDE], Crop("face", face=3), look())


def test_no_face(faces):
    faces([])
    with pytest.raises(InputError, match="no face in the source: use --crop center"):
        choose_box([WIDE], Crop("face"), look())


def test_a_face_is_followed_through_a_clip(faces):
    """The other one is larger, but for the first frame."""
    other = Region(120, 40, 150, 70)
    faces([Region(20, 40, 60, 80), other], [Region(25, 42, 50, 67), other], [])
    box, _ = choose_box(numbered(3), Crop("face"), look())
    assert box.left + box.width < 120


def corners(picture):
    """A detector of bright patches; without one, points lie anywhere."""
    rows, columns = (picture[..., 0] > 0).nonzero()
    if not len(rows):
        return np.random.default_rng(picture.shape[0]).uniform(-1, 1, (4, 2))
    low, high = np.array([columns.min(), rows.min()]), np.array([columns.max(), rows.max()]) + 1
    return 2 * np.array([low, high]) / picture.shape[1::-1] - 1


@pytest.mark.parametrize("way", ["auto", "subject"])
def test_the_subject_by_keypoints(way):
    """In a clip its box holds all places where the patch is."""
    pictures = [np.zeros((200, 400, 3), np.uint8) for _ in range(3)]
    for number, picture in enumerate(pictures):
        picture[120:160, 300 + 10 * number : 330 + 10 * number] = 255
    find = look(find_points=lambda crops: [corners(each) for each in crops])
    box, notes = choose_box(pictures[:1], Crop(way), find)
    assert box == box_around(MARGIN.around(Region(300, 120, 330, 160), one=True), (200, 400), 1.0)
    assert "around the keypoints" in notes[0]
    box, _ = choose_box(pictures, Crop(way), find)
    assert box == box_around(MARGIN.around(Region(300, 120, 350, 160), one=False), (200, 400), 1.0)


@pytest.mark.parametrize("count", [1, 5, 16, 17, 100, 1000])
def test_frames_spread_over_a_clip(count):
    numbers = [int(frame[0]) for frame in spread(np.array([number]) for number in range(count))]
    assert len(numbers) == count if count <= 16 else 8 <= len(numbers) <= 16
    assert numbers[0] == 0
    assert len(set(np.diff(numbers))) <= 1
    assert numbers[-1] >= count - 1 - count // 8
