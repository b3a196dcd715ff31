"""The search for keypoints in pictures of odd shapes, and by a detector that is broken."""

import numpy as np
import pytest

from tpsm_jax.errors import InputError
from tpsm_jax.framing.subject import keypoint_regions

POINTS = np.array([[-0.5, -0.5], [0.5, 0.5]])


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (1, 1), (20, 10_000), (500, 5000)])
def test_any_picture_is_looked_at_in_few_crops(shape):
    looked = []

    def find_points(pictures):
        assert all(picture.size for picture in pictures)
        looked.append(len(pictures))
        return [POINTS] * len(pictures)

    (region,) = keypoint_regions([np.zeros((*shape, 3), np.uint8)], find_points, 1.0)
    assert np.isfinite(region).all()
    assert max(looked) <= 200


def test_broken_weights_are_named():
    with pytest.raises(InputError, match="the checkpoint's weights are broken"):
        keypoint_regions(
            [np.zeros((30, 60, 3), np.uint8)], lambda pictures: [POINTS * np.nan] * 9, 1.0
        )
