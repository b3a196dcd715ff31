"""Pictures as floats and as 8 bits within compiled programs; `media.images` does it for NumPy."""

import jax
import jax.numpy as jnp
import numpy as np

_LEVELS = (np.arange(256) / 255).astype(np.float32)


def to_float(image: jax.Array) -> jax.Array:
    """An 8-bit picture as floats, for training and evaluation.

    XLA replaces the division with a multiplication, which rounds half of the 256 levels to a
    neighboring float32.

    Args:
      image: uint8 of any shape.

    Returns:
      float32 in [0, 1] of the same shape.
    """
    return image.astype(jnp.float32) / 255


def to_float_exactly(image: jax.Array) -> jax.Array:
    """A picture as floats, bit-identical to `media.images.to_float`.

    For animation, where 8-bit frames must give what the same frames give as floats.

    Args:
      image: uint8 of any shape; or floats in [0, 1], which keep their values.

    Returns:
      float32 in [0, 1] of the same shape.
    """
    if image.dtype == jnp.uint8:
        return jnp.asarray(_LEVELS)[image]
    return image.astype(jnp.float32)


def to_uint8(image: jax.Array) -> jax.Array:
    """A picture as 8 bits: clipped to [0, 1] and rounded to nearest.

    Args:
      image: floats of any shape.

    Returns:
      uint8 of the same shape.
    """
    return jnp.rint(jnp.clip(image, 0, 1) * 255).astype(jnp.uint8)
