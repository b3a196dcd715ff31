"""Joints of results against a drawn truth: hand-made cases whose distances are known."""

import numpy as np
import pytest
from scipy import ndimage

from data.puppets.truth import true_frames
from tpsm_jax.evaluation.joints import NEAR, SEARCH, TrueFrame, joint_numbers

SIDE = 128
BACKGROUND = (90, 140, 110)


def drawn(*places: tuple[int, int], visible: tuple[bool, ...] = (), limbs: int = 1) -> TrueFrame:
    """A picture with a disc of red and blue halves at each joint, (x, y) in pixels."""
    picture = np.full((SIDE, SIDE, 3), BACKGROUND, np.uint8)
    figure = np.zeros((SIDE, SIDE), bool)
    y, x = np.mgrid[:SIDE, :SIDE]
    for number, (left, top) in enumerate(places):
        disc = (x - left) ** 2 + (y - top) ** 2 <= 10**2
        picture[disc & (y < top)] = (200, 30 + 50 * number, 30)
        picture[disc & (y >= top)] = (40, 30, 180 - 60 * number)
        figure |= disc
    shown = np.array(visible or [True] * len(places))
    is_limb = np.arange(len(places)) < limbs
    return TrueFrame(picture, figure, np.float32(places), shown, is_limb)


def numbers(result: np.ndarray, truth: TrueFrame) -> tuple[float, float, float]:
    found = joint_numbers(result[None], [truth])
    return tuple(float(found[name][0]) for name in ("joint_akd", "joint_mkr", "limbs"))


def test_the_truth_itself() -> None:
    truth = drawn((40, 50), (90, 80))
    assert numbers(truth.picture, truth) == (0, 0, 1)


@pytest.mark.parametrize(("right", "down"), [(5, 0), (0, -12), (9, 12)])
def test_one_of_two_joints_is_elsewhere(right: int, down: int) -> None:
    truth = drawn((40, 50), (90, 80))
    result = drawn((40 + right, 50 + down), (90, 80)).picture
    distance = np.hypot(right, down)
    found = numbers(result, truth)
    assert found[0] == pytest.approx(distance / 2)
    assert found[1:] == (0, distance <= NEAR * SIDE)


def test_a_joint_that_is_missing_or_too_far_away() -> None:
    truth = drawn((40, 50), (90, 80))
    for result in (drawn((90, 80)), drawn((40, 90), (90, 80))):
        picture = result.picture.copy()
        picture[:, 64:] = truth.picture[:, 64:]
        assert numbers(picture, truth) == (SEARCH * SIDE / 2, 0.5, 0)


def test_a_hidden_joint_does_not_count() -> None:
    truth = drawn((40, 50), (90, 80), visible=(True, False))
    assert numbers(drawn((44, 50), (20, 20)).picture, truth) == (4, 0, 1)
    assert numbers(truth.picture, truth._replace(visible=np.zeros(2, bool))) == (0, 0, 1)


def test_the_background_is_no_joint() -> None:
    truth = drawn((40, 50))
    assert numbers(np.full_like(truth.picture, BACKGROUND), truth) == (SEARCH * SIDE, 1, 0)


def test_at_the_border_of_the_picture() -> None:
    truth, result = drawn((2, 125)), drawn((5, 121))
    assert numbers(truth.picture, truth) == (0, 0, 1)
    assert numbers(result.picture, truth) == (5, 0, 1)


@pytest.mark.parametrize("side", [64, 128])
def test_drawn_figures_as_models_paint_them(side: int) -> None:
    """The error of the measure itself on blurred, noisy and shifted pictures of the truth."""
    frames = [
        frame
        for number in range(3)
        for frame in [*true_frames(7 + number, 9 + number, num_frames=9, size=(side, side))][::4]
    ]
    rng = np.random.default_rng(0)
    for right in (0, side // 32):
        results = []
        for frame in frames:
            shifted = np.roll(frame.picture, right, axis=1)
            blurred = ndimage.gaussian_filter(shifted.astype(float), (side / 85, side / 85, 0))
            noisy = blurred + rng.normal(0, 4, blurred.shape)
            results.append(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
        found = joint_numbers(np.stack(results), frames)
        np.testing.assert_allclose(found["joint_akd"], right, atol=0.02 * side)
        assert np.mean(np.abs(found["joint_akd"] - right)) < 0.005 * side
        assert found["joint_mkr"].max() == 0
        assert found["limbs"].min() == 1
