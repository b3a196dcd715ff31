"""One set of weights for several sources, and its detector by itself."""

import numpy as np
import pytest

from tests.helpers.compilations import compilations
from tests.unit.animation import test_animator
from tests.unit.animation.test_animator import FRAMES, SOURCE
from tpsm_jax.animation.animator import Animator
from tpsm_jax.errors import InputError
from tpsm_jax.media.images import resize

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
