import numpy as np
import pytest

from tests.helpers.small import model_params
from tpsm_jax.animation.keypoints import pose_distance, relative_scale
from tpsm_jax.errors import InputError
from tpsm_jax.models.registry import build_model

SQUARE = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0.5, 0.5]], np.float32) - 0.5
LINE = np.stack([np.linspace(-1, 1, 5), np.linspace(0, 0.5, 5)], axis=1).astype(np.float32)
POINT = np.full((5, 2), 0.25, np.float32)


def test_the_scale_is_the_ratio_of_lengths():
    assert relative_scale(SQUARE * 0.6, SQUARE * 0.2 + 0.3) == pytest.approx(3)


def test_the_scale_is_that_of_the_hull_not_of_the_bounding_box():
    diamond = np.array([[0.5, 0], [1, 0.5], [0.5, 1], [0, 0.5], [0.5, 0.5]], np.float32)
    assert relative_scale(diamond, SQUARE) == pytest.approx(np.sqrt(0.5))


def test_the_initial_pose_gives_the_source_and_motion_is_scaled():
    driving = np.stack([SQUARE, SQUARE + np.float32([0.1, 0])])
    relative = build_model(model_params()).relative
    moved = relative(SQUARE * 0.5, driving, SQUARE, relative_scale(SQUARE * 0.5, SQUARE))
    np.testing.assert_array_equal(moved[0], SQUARE * 0.5)
    np.testing.assert_allclose(moved[1], SQUARE * 0.5 + [0.05, 0], atol=1e-7)
    assert moved.dtype == np.float32


@pytest.mark.parametrize("flat", [LINE, POINT])
def test_keypoints_without_an_area_cannot_scale_motion(flat):
    with pytest.raises(InputError, match="source picture"):
        relative_scale(flat, SQUARE)
    with pytest.raises(InputError, match="driving"):
        relative_scale(SQUARE, flat)


def test_a_pose_does_not_depend_on_place_and_size():
    assert pose_distance(SQUARE, SQUARE * 0.3 + 0.2) == pytest.approx(0, abs=1e-10)
    assert pose_distance(SQUARE, SQUARE * np.float32([1, 0.5])) > 0.1


def test_the_likest_pose_is_nearest_and_a_flat_one_infinitely_far():
    clip = [SQUARE[::-1], LINE, SQUARE * 0.3 + 0.2, SQUARE * 2]
    distances = [pose_distance(SQUARE, keypoints) for keypoints in clip]
    assert int(np.argmin(distances)) in (2, 3)
    np.testing.assert_allclose(distances[2:], 0, atol=1e-6)
    assert distances[0] > 1
    assert distances[1] == pose_distance(SQUARE, POINT) == np.inf


def test_keypoints_that_are_no_numbers_are_reported():
    with pytest.raises(InputError, match="not finite"):
        relative_scale(SQUARE, np.full_like(SQUARE, np.nan))
