"""One set of weights for several sources, and its detector by itself."""

import numpy as np
import pytest
from PIL import Image

from tests.helpers.compilations import compilations
from tests.helpers.small import pictures
from tests.unit.animation import test_animator
from tests.unit.animation.test_animator import FRAMES, SOURCE
from tpsm_jax.animation.animator import Animator
from tpsm_jax.animation.keypoints import relative_scale
from tpsm_jax.errors import InputError
from tpsm_jax.media.images import resize
from tpsm_jax.ops.grid_sample import grid_sample
from tpsm_jax.ops.resample import resize_align_corners

checkpoint, functions = test_animator.checkpoint, test_animator.functions


def test_another_source_by_the_same_programs(checkpoint):
    animator = Animator(checkpoint, SOURCE, mode="standard")
    expected = list(animator.animate(FRAMES[:2]))
    other = animator.of(FRAMES[3])
    with compilations() as compiled:
        made = list(other.animate(FRAMES[:2]))
    assert not compiled
    np.testing.assert_array_equal(
        made, list(Animator(checkpoint, FRAMES[3], mode="standard").animate(FRAMES[:2]))
    )
    np.testing.assert_array_equal(list(animator.animate(FRAMES[:2])), expected)
    with pytest.raises(InputError, match="the source has the shape"):
        animator.of(SOURCE[..., :1])


def test_points_in_pictures_of_several_sizes(checkpoint, functions):
    detect, *_ = functions
    animator = Animator(checkpoint, SOURCE, batch_size=2)
    given = [*FRAMES[:2], np.kron(FRAMES[2], np.ones((2, 2, 1), np.float32))]
    points = animator.find_points(given)
    assert [each.shape for each in points] == [detect(FRAMES[0]).shape] * 3
    for picture, found in zip(given, points, strict=True):
        np.testing.assert_allclose(found, detect(resize(picture, 64, 64)), atol=1e-5)


@pytest.mark.parametrize("mode", ["relative", "standard"])
def test_poses_give_the_same_pictures_as_their_frames(checkpoint, mode):
    animator = Animator(checkpoint, SOURCE, mode=mode, batch_size=3)
    poses = list(animator.find_poses(FRAMES))
    made = list(animator.animate_poses(poses))
    np.testing.assert_array_equal(made, list(animator.animate(FRAMES)))


def test_the_best_pose_is_the_best_frames(checkpoint):
    animator = Animator(checkpoint, FRAMES[4], batch_size=3)
    best = animator.best_pose(animator.find_poses(FRAMES))
    assert best.number == animator.find_best_frame(FRAMES).number == 4


@pytest.mark.parametrize("scale", [0, 0.5, 2])
def test_the_motion_is_scaled(checkpoint, functions, scale):
    detect, _, paint = functions
    options = {"batch_size": 3, "output_dtype": np.float32}
    first, given = detect(FRAMES[0]), detect(FRAMES[2])
    size = relative_scale(detect(SOURCE), first)
    expected = paint(detect(SOURCE) + scale * size * (given - first))
    animator = Animator(checkpoint, SOURCE, **options)
    made = list(animator.animate(FRAMES[:3], motion_scale=scale))
    np.testing.assert_allclose(made[2], expected, atol=1e-4)


@pytest.mark.parametrize("scale", [-1, 11, float("nan"), "2", True])
def test_scales_that_make_no_sense_are_refused(checkpoint, scale):
    animator = Animator(checkpoint, SOURCE)
    with pytest.raises(InputError, match="motion_scale is a number from 0 to 10"):
        animator.animate(FRAMES, motion_scale=scale)


def test_a_scale_without_a_measure_is_refused(checkpoint):
    animator = Animator(checkpoint, SOURCE, mode="standard")
    with pytest.raises(InputError, match="is for mode 'relative'"):
        animator.animate(FRAMES, motion_scale=0.5)


def test_a_larger_frame_is_the_enlarged_one_with_the_sources_detail(checkpoint):
    _, model, variables = checkpoint
    source = pictures(1, 128, 128, seed=5)[0]
    options = {"mode": "standard", "output_dtype": np.float32}
    animator = Animator(checkpoint, source, render_size=(128, 128), **options)
    small = resize(source, 64, 64)[None]
    encoded = model.apply(variables, small, method="encode_source")
    pose = model.apply(variables, FRAMES[:2], method="keypoints")
    outputs = model.apply(variables, encoded, pose, method="generate")
    flow, mask = outputs["deformation"], outputs["occlusion_map"][-1]
    expected = []
    for index in range(2):
        to_size = [enlarged(outputs[name][index]) for name in ("prediction", "deformed")]
        warped = grid_sample(source, resize_align_corners(flow[index], 128, 128))
        visible = resize_align_corners(mask[index], 128, 128)
        expected.append(np.clip(to_size[0] + visible * (warped - to_size[1]), 0, 1))
    np.testing.assert_allclose(list(animator.animate(FRAMES[:2])), expected, atol=1e-4)


def enlarged(image):
    """Cubic convolution (Keys, a = -0.5) to twice the size, as Pillow's BICUBIC does it."""
    channels = [
        np.asarray(Image.fromarray(channel).resize((128, 128), Image.Resampling.BICUBIC))
        for channel in np.moveaxis(np.asarray(image, np.float32), -1, 0)
    ]
    return np.stack(channels, axis=-1)


def test_a_still_picture_keeps_its_detail(checkpoint):
    """Where all is visible and nothing moves, the enlarged frame is the source."""
    _, model, _ = checkpoint
    large = pictures(1, 128, 128, seed=5)
    small = resize(large[0], 64, 64)[None]
    still = np.stack(np.meshgrid(np.linspace(-1, 1, 64), np.linspace(-1, 1, 64)), axis=-1)[None]
    outputs = {
        "prediction": small,
        "deformed": small,
        "deformation": still.astype(np.float32),
        "occlusion_map": (np.ones((1, 64, 64, 1), np.float32),),
    }
    made = model.apply({}, outputs, large, method="enlarge")
    np.testing.assert_allclose(made, large, atol=1e-4)


def test_the_size_of_the_config_needs_no_enlarging(checkpoint):
    given = list(Animator(checkpoint, SOURCE).animate(FRAMES[:2]))
    same = Animator(checkpoint, SOURCE, render_size=(64, 64))
    np.testing.assert_array_equal(list(same.animate(FRAMES[:2])), given)


@pytest.mark.parametrize("size", [(32, 32), (128, 64), 128, (64.5, 64)])
def test_render_sizes_that_do_not_fit_are_refused(checkpoint, size):
    with pytest.raises(InputError, match="size is"):
        Animator(checkpoint, SOURCE, render_size=size)
