"""Features times one weight a place."""

import jax
import jax.numpy as jnp

from tpsm_jax.backends.backend import backend


def weigh(features: jax.Array, weights: jax.Array) -> jax.Array:
    """Multiplies all channels of a place by its weight.

    Args:
      features: [..., C].
      weights: [...], of the same type.

    Returns:
      [..., C].
    """
    if backend() != "cpu":
        return features * weights[..., None]
    # The same as a product of tensors: its gradient to the weights, a sum over channels, is one
    # too, which XLA computes 25 times as fast on a CPU as the sum of a product.
    return jnp.einsum("...c,...->...c", features, weights, precision=jax.lax.Precision.HIGHEST)
