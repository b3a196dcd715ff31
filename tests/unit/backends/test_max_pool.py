"""Both forms of max pooling are Flax's, and so are their gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from tpsm_jax.backends.backend import tracing_for
from tpsm_jax.backends.max_pool import max_pool


@pytest.mark.parametrize("form", ["cpu", "plain"])
@pytest.mark.parametrize(("window", "padding"), [(3, 1), (2, 0)])
@pytest.mark.parametrize("shape", [(2, 8, 12, 3), (1, 7, 9, 2)])
def test_max_pool_is_flaxs_and_so_is_its_gradient(shape, window, padding, form):
    x = jnp.asarray(np.random.default_rng(0).standard_normal(shape), jnp.float32)

    def ours(x):
        return max_pool(x, window, padding=padding)

    def flaxs(x):
        borders = ((padding, padding), (padding, padding))
        return nn.max_pool(x, (window, window), strides=(2, 2), padding=borders)

    with tracing_for(form):
        np.testing.assert_array_equal(ours(x), flaxs(x))
        actual = jax.grad(lambda x: jnp.sum(ours(x) ** 2))(x)
    np.testing.assert_allclose(actual, jax.grad(lambda x: jnp.sum(flaxs(x) ** 2))(x), rtol=1e-6)
