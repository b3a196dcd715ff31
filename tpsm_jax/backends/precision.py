"""The precision of matmuls and convolutions."""

from typing import Any

import jax
import jax.numpy as jnp


def precision_of(dtype: Any) -> jax.lax.Precision | None:
    """Returns full precision for float32 on every backend; for speed, ask for bfloat16 instead."""
    return jax.lax.Precision.HIGHEST if dtype == jnp.float32 else None


def wide_einsum(subscripts: str, a: jax.Array, b: jax.Array) -> jax.Array:
    """Computes `jnp.einsum` of two arrays of one type, accumulated in at least float32.

    On a CPU this makes bfloat16 matmuls several times as fast as with a bfloat16 result.

    Args:
      subscripts: subscripts of `jnp.einsum`.
      a: first operand.
      b: second operand, in the type of `a`.

    Returns:
      The result in the type that it was accumulated in: float32 for bfloat16.
    """
    return jnp.einsum(
        subscripts,
        a,
        b,
        precision=precision_of(a.dtype),
        preferred_element_type=jnp.promote_types(a.dtype, jnp.float32),
    )
