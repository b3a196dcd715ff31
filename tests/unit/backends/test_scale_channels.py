"""Both forms of scaling channels are the same product, with the same gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tpsm_jax.backends.scale_channels import _scale_by_einsum, scale_channels_plain

# Of the gradient to the weights, a sum over 64 channels: in bfloat16 the plain form rounds every
# product before it sums them.
TOLERANCE = {"float32": 1e-5, "bfloat16": 2**-5}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", [(5, 7, 64), (2, 3, 4, 64)])
def test_values_and_gradients(dtype, shape):
    rng = np.random.default_rng(0)
    features, gradient = (jnp.asarray(rng.standard_normal(shape), dtype) for _ in range(2))
    weights = jnp.asarray(rng.uniform(size=shape[:-1]), dtype)
    actual, pull = jax.vjp(_scale_by_einsum, features, weights)
    expected, pull_expected = jax.vjp(scale_channels_plain, features, weights)
    assert actual.dtype == expected.dtype == dtype
    np.testing.assert_array_equal(actual, expected)
    (of_features, of_weights), (a, b) = pull(gradient), pull_expected(gradient)
    assert of_features.dtype == of_weights.dtype == dtype
    np.testing.assert_array_equal(of_features, a)
    distance = np.abs(of_weights.astype(jnp.float32) - b.astype(jnp.float32))
    assert distance.max() < TOLERANCE[dtype] * np.std(b.astype(jnp.float32))
