"""Motions smoothed and looped: what stays, what goes."""

import numpy as np
import pytest

from tpsm_jax.animation.motion import Motion, looped, smoothed
from tpsm_jax.errors import InputError

FPS = 25


def motion(values, fps=FPS):
    """A motion of one point that is at (value, -value)."""
    values = np.asarray(values, np.float64)
    poses = np.stack([values, -values], axis=-1)[:, None]
    return Motion(poses, np.arange(len(values)) / fps, fps)


def test_iterating_gives_poses_without_a_batch():
    trees = Motion({"value": np.arange(6).reshape(3, 2), "more": np.ones((3, 1))}, np.arange(3), 1)
    assert [each["value"].tolist() for each in trees] == [[0, 1], [2, 3], [4, 5]]
    assert all(each["more"].shape == (1,) for each in trees)


def test_parabolas_stay_to_the_ends():
    time = np.arange(40) / FPS
    given = motion(3 * time**2 - time + 0.5)
    made = smoothed(given, 0.4)
    np.testing.assert_allclose(made.poses, given.poses, atol=1e-12)
    np.testing.assert_array_equal(made.times, given.times)


def test_a_slow_movement_keeps_its_amplitude_and_phase():
    given = motion(np.sin(2 * np.pi * 0.5 * np.arange(200) / FPS))
    made = smoothed(given, 0.4)
    np.testing.assert_allclose(made.poses[5:-5], given.poses[5:-5], atol=0.002)
    np.testing.assert_allclose(made.poses, given.poses, atol=0.01)  # parabolas end steeper


def test_jitter_falls_as_least_squares_say():
    noise = np.random.default_rng(0).normal(size=20_000)
    length = 11  # 0.4 s
    # The middle's weight in a fit of a parabola to 2 m + 1 points, which is its variance.
    m = length // 2
    variance = 3 * (3 * m * m + 3 * m - 1) / ((2 * m - 1) * (2 * m + 1) * (2 * m + 3))
    made = smoothed(motion(noise), 0.4).poses[m:-m, 0, 0]
    assert made.var() == pytest.approx(variance, rel=0.05)


@pytest.mark.parametrize(
    ("frames", "seconds", "line"),
    [
        (50, 0.1, "changes nothing: choose at least 0.14 s"),
        (10, 0.4, "takes more than the 10 frames"),
        (10, 1e308, "more than the 10 frames"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(frames, seconds, line):
    with pytest.raises(InputError, match=line):
        smoothed(motion(np.zeros(frames)), seconds)


def test_the_shortest_length_that_is_advised_is_taken():
    given = motion(np.random.default_rng(0).normal(size=50))
    assert np.abs(smoothed(given, 0.14).poses - given.poses).max() > 0.01


@pytest.mark.parametrize("frames", [3, 20, 100])
def test_a_loop_ends_where_it_began(frames):
    given = motion(np.arange(frames) / 10)
    made = looped(given)
    np.testing.assert_allclose(made.poses[-1], given.poses[0], atol=1e-12)
    untouched = max(frames - FPS, (frames - 1) // 2)
    np.testing.assert_array_equal(made.poses[:untouched], given.poses[:untouched])
    # It is led back over the whole time, and not at once.
    steps = np.abs(np.diff(made.poses[:, 0, 0]))
    assert steps.max() <= 2.5 * (frames - 1) / 10 / min(FPS, (frames - 1) / 2) + 0.1


def test_a_single_frame_is_a_loop():
    given = motion([0.3])
    np.testing.assert_array_equal(looped(given).poses, given.poses)


def test_types_stay():
    poses = np.ones((30, 4, 2), np.float32)
    given = Motion(poses, np.arange(30) / FPS, FPS)
    assert smoothed(given, 0.4).poses.dtype == looped(given).poses.dtype == np.float32
