"""The losses of the background's motion that the reference does not have."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers.small import pictures
from tpsm_jax.models.dense_motion import background_warp
from tpsm_jax.ops.grid_sample import grid_sample
from tpsm_jax.ops.resample import antialias_downsample
from tpsm_jax.training.background_losses import (
    background_equivariance_loss,
    background_points_loss,
    random_affine,
)


def test_points_of_the_background_are_where_its_motion_takes_them():
    driving = jnp.array([[[0.5, -0.5], [0.0, 1.0], [jnp.nan, 0.0]]])
    motion = jnp.array([[[1.1, 0.2, 0.3], [-0.1, 0.9, -0.2], [0.0, 0.0, 1.0]]])
    source = jnp.array([[[0.75, -0.7], [0.5, 0.7], [0.0, 0.0]]])
    loss = jax.value_and_grad(background_points_loss)
    assert loss(motion, source, driving)[0] == pytest.approx(0, abs=1e-7)
    value, gradient = loss(motion.at[0, 0, 2].add(0.1), source, driving)
    assert value == pytest.approx(0.1 / 2)
    # Two known points of four numbers; the unknown one counts nothing.
    np.testing.assert_allclose(gradient[0, 0, :3], [0.5 / 4, 0.5 / 4, 2 / 4], atol=1e-6)
    assert loss(motion, jnp.full_like(source, jnp.nan), driving)[0] == 0


def test_the_predictor_is_asked_for_the_map_of_one_picture():
    affine = random_affine(jax.random.key(1), 3)
    images = jax.vmap(antialias_downsample, (0, None))(pictures(3, 64, 64), 0.5)
    asked = []

    def predict(source, driving):
        asked.append((source, driving))
        return affine.at[:, 0, 2].add(0.5)

    loss = background_equivariance_loss(predict, affine, images)
    assert loss == pytest.approx(0.5 / 2, rel=1e-5)
    ((source, driving),) = asked
    positions = background_warp(affine, 3, 32, 32)
    inside = np.all(np.abs(positions) < 1, axis=-1)
    for index in range(3):
        moved = grid_sample(source[index], positions[index])
        np.testing.assert_allclose(moved[inside[index]], driving[index][inside[index]], atol=1e-5)
        assert inside[index].mean() > 0.4
        assert np.abs(driving[index] - images[index])[inside[index]].mean() > 0.01
