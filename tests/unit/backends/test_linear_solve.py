"""Elimination, which is for TPUs, solves as the plain form does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tpsm_jax.backends.backend import tracing_for
from tpsm_jax.backends.linear_solve import solve


@pytest.mark.slow
def test_elimination_solves_as_lapack_does():
    rng = np.random.default_rng(0)
    system = rng.standard_normal((20, 8, 8)).astype(np.float32)
    system += system.swapaxes(1, 2)
    system[:10, 0, 0] = 0  # which needs another pivot
    right_side = rng.standard_normal((20, 8, 2)).astype(np.float32)

    def run(system, right_side):
        x = jax.vmap(solve)((system + system.swapaxes(1, 2)) / 2, right_side)
        return jnp.sum(jnp.sin(x)), x

    (_, expected), of_lapack = jax.value_and_grad(run, (0, 1), has_aux=True)(system, right_side)
    with tracing_for("tpu"):
        (_, actual), gradients = jax.value_and_grad(run, (0, 1), has_aux=True)(system, right_side)
    exact = np.linalg.solve(system.astype(np.float64), right_side)
    scale = np.abs(exact).max((1, 2), keepdims=True)
    error = np.abs(actual - exact) / scale
    assert error.max() < 2 * max((np.abs(expected - exact) / scale).max(), 1e-6)
    for gradient, other in zip(gradients, of_lapack, strict=True):
        np.testing.assert_allclose(gradient, other, rtol=1e-3, atol=1e-4 * np.abs(other).max())
