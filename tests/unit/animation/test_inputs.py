"""Arrays of a caller are taken, or answered in one line that says what to do."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from tests.helpers.small import pictures
from tpsm_jax.animation.inputs import (
    as_picture,
    check_frames,
    check_numbers,
    check_points,
    pose_without_batch,
)
from tpsm_jax.animation.keypoints import pose_distance, relative_scale
from tpsm_jax.errors import InputError

FLOATS = pictures(1, 8, 12, seed=0)[0]
BYTES = (FLOATS * 255).astype(np.uint8)
POSE = np.random.default_rng(0).uniform(-1, 1, (10, 2)).astype(np.float32)


@pytest.mark.parametrize(
    "image",
    [
        FLOATS,
        BYTES,
        FLOATS.astype(np.float16),
        FLOATS.astype(np.float64),
        FLOATS * 1.2 - 0.1,  # what a sharp filter makes
        jnp.asarray(FLOATS),
        Image.fromarray(BYTES),
    ],
    ids=lambda image: f"{type(image).__name__}-{getattr(image, 'dtype', '')}",
)
def test_pictures_of_any_library(image):
    np.testing.assert_array_equal(as_picture(image, "it"), np.asarray(image))


@pytest.mark.parametrize(
    ("image", "match"),
    [
        (FLOATS * 255, r"it has floats from .* bring them to \[0, 1\], or make it uint8"),
        (FLOATS * 2 - 1, "it has floats from -"),
        (np.full_like(FLOATS, np.nan), "floats from nan"),
        (BYTES[..., 0], r"shape \[8, 12\].* repeat a gray picture three times"),
        (BYTES[..., :1], r"shape \[8, 12, 1\].* repeat a gray picture"),
        (np.dstack([BYTES, BYTES[..., 0]]), r"\[..., :3\] to drop the alpha channel"),
        (BYTES.transpose(2, 0, 1), r"image.transpose\(1, 2, 0\)"),
        (BYTES[None], "without a batch"),
        (BYTES[:0], "this is no picture"),
        (np.zeros(5), "this is no picture"),
        (BYTES.astype(np.int8), "it is of type int8: make it uint8"),
        (BYTES.astype(np.int64), "it is of type int64"),
        (BYTES > 3, "it is of type bool"),
        (None, "this is no picture"),
        ("source.png", "this is no picture"),
    ],
)
def test_other_arrays_are_answered_in_words(image, match):
    with pytest.raises(InputError, match=match) as error:
        as_picture(image, "it")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("frames", "match"),
    [
        ("driving.mp4", r"give open_video\('driving.mp4'\)"),
        (7, "frames is a int"),
        (BYTES, "a single picture: put it into a list"),
    ],
)
def test_what_is_no_series_of_frames(frames, match):
    with pytest.raises(InputError, match=match):
        check_frames(frames)


@pytest.mark.parametrize(
    ("size", "batch_size", "dtype"),
    [
        ((64,), None, np.uint8),
        (64, None, np.uint8),
        ((64, "64"), None, np.uint8),
        ((64.0, 64.0), None, np.uint8),
        ((64, 64), 0, np.uint8),
        ((64, 64), -1, np.uint8),
        ((64, 64), 1.5, np.uint8),
        ((64, 64), True, np.uint8),
        ((64, 64), 1, np.int8),
    ],
)
def test_settings_that_make_no_sense(size, batch_size, dtype):
    with pytest.raises(InputError):
        check_numbers(size, batch_size, dtype)


def test_a_pose_may_come_in_a_batch_of_one():
    for given in (POSE, POSE[None], POSE.tolist(), jnp.asarray(POSE)[None]):
        np.testing.assert_array_equal(pose_without_batch(given, POSE), POSE)
    tree = {"value": POSE, "jacobian": np.ones((10, 2, 2), np.float32)}
    batch = {name: leaf[None] for name, leaf in tree.items()}
    np.testing.assert_array_equal(pose_without_batch(batch, tree)["value"], POSE)
    one_point = POSE[:1]
    np.testing.assert_array_equal(pose_without_batch(one_point, one_point), one_point)


@pytest.mark.parametrize(
    ("pose", "match"),
    [
        (np.stack([POSE, POSE]), "has the shapes"),
        (POSE[:5], "has the shapes"),
        (POSE.T, "has the shapes"),
        (POSE * np.nan, "not finite"),
        ({"value": POSE}, "no pose of this model"),
        ("kp", "no pose of this model"),
    ],
)
def test_other_poses_are_answered_in_words(pose, match):
    with pytest.raises(InputError, match=match):
        pose_without_batch(pose, POSE)


def test_points_in_pixels_are_noticed():
    check_points(POSE * 1.5)
    with pytest.raises(InputError, match=r"keypoints are \(x, y\) in \[-1, 1\]"):
        check_points((POSE + 1) * 32)


@pytest.mark.parametrize("shape", [(1, 10, 2), (10,), (10, 1), (10, 3), (0, 2), ()])
def test_hulls_of_other_shapes_do_not_end_the_process(shape):
    for function in (relative_scale, pose_distance):
        with pytest.raises(InputError, match=r"\[N, 2\] is taken"):
            function(POSE, np.zeros(shape))
