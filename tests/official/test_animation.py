"""The animation modes over moving pictures, against the official demo."""

import numpy as np
import pytest
from ml_collections import ConfigDict

from tests.helpers import golden_cases as cases
from tests.helpers.golden_model import procedural_model
from tests.helpers.paths import GOLDEN
from tpsm_jax.animation.animator import Animator
from tpsm_jax.animation.keypoints import relative_scale

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN / "animation.npz")


@pytest.fixture(scope="module")
def checkpoint():
    case = cases.ANIMATION
    config = {"model_params": case.params, "image_size": (case.height, case.width)}
    config = ConfigDict(config)
    return config, *procedural_model(case.params, case.seed)


@pytest.fixture(scope="module")
def keypoints(checkpoint, optimized):
    """(the source's [N, 2], the driving frames' [T, N, 2])"""
    _, model, variables = checkpoint
    source, frames = cases.animation_pictures()
    detector = model.bind(variables).kp_detector
    found = np.asarray(detector(np.concatenate([source[None], frames])))
    return found[0], found[1:]


@pytest.mark.parametrize("mode", cases.ANIMATION_MODES)
def test_animated_frames(checkpoint, golden, mode):
    source, frames = cases.animation_pictures()
    animator = Animator(checkpoint, source, mode=mode, output_dtype=np.float32)
    predictions = np.stack(list(animator.animate(frames)))
    np.testing.assert_allclose(
        cases.subsample(predictions, 30_000),
        golden[f"{mode}/prediction"],
        rtol=0,
        atol=cases.PREDICTION,
    )
    # A value halfway between two of 255 steps may round either way, and no further.
    steps = np.rint(predictions * 255) - golden[f"{mode}/frames"].astype(float)
    assert np.abs(steps).max() <= 1
    assert np.mean(steps != 0) < 0.01


@pytest.mark.parametrize("mode", cases.ANIMATION_MODES)
def test_keypoints_of_each_mode(checkpoint, keypoints, golden, mode):
    _, model, variables = checkpoint
    kp_source, kp_driving = keypoints
    if mode == "relative":
        kp_driving = model.relative(
            kp_source, kp_driving, kp_driving[0], relative_scale(kp_source, kp_driving[0])
        )
    elif mode == "avd":
        sources = np.broadcast_to(kp_source, kp_driving.shape)
        kp_driving = model.bind(variables).avd_network(sources, kp_driving, train=False)
    np.testing.assert_allclose(
        kp_driving, golden[f"{mode}/keypoints"], rtol=0, atol=cases.KEYPOINTS
    )


def test_driving_pictures_move_and_the_modes_differ(golden):
    modes = [golden[f"{mode}/frames"].astype(float) for mode in cases.ANIMATION_MODES]
    for frames in modes:
        assert np.abs(frames[1:] - frames[0]).mean() > 1
    for i in range(3):
        assert np.abs(modes[i] - modes[i - 1]).mean() > 1
