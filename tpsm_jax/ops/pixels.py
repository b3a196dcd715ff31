"""Pictures between 8 bits and floats, within compiled programs; `media.images` has both for NumPy.

NumPy and XLA agree to the bit, so a picture may be converted on either side.
"""

import jax
import jax.numpy as jnp
import numpy as np

# XLA replaces a division by 255 with a multiplication, which rounds half of the levels otherwise.
_LEVELS = (np.arange(256) / 255).astype(np.float32)


def to_float(image: jax.Array) -> jax.Array:
    """A picture as float32.

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
