"""Small systems of linear equations, solved where they lie."""

import jax
import jax.numpy as jnp

from tpsm_jax.backends.backend import backend


def solve(system: jax.Array, right_side: jax.Array) -> jax.Array:
    """Solves a small symmetric system; on a TPU by elimination with partial pivoting.

    There `jnp.linalg.solve` is a routine that XLA cannot divide among devices: each would be sent
    the systems of the whole batch, and solve them all.

    Args:
      system: [n, n] float32, symmetric.
      right_side: [n, m] float32.

    Returns:
      [n, m] float32: x with system x = right_side.
    """
    if backend() != "tpu":
        return jnp.linalg.solve(system, right_side)

    def apply(x: jax.Array) -> jax.Array:
        return jnp.matmul(system, x, precision=jax.lax.Precision.HIGHEST)

    return jax.lax.custom_linear_solve(
        apply, right_side, lambda _, right_side: _eliminate(system, right_side), symmetric=True
    )


def _eliminate(system: jax.Array, right_side: jax.Array) -> jax.Array:
    count = system.shape[0]
    places = jnp.arange(count)

    def clear_below(k: jax.Array, rows: jax.Array) -> jax.Array:
        pivot = jnp.argmax(jnp.where(places >= k, jnp.abs(rows[:, k]), -1))
        rows = rows[jnp.where(places == k, pivot, jnp.where(places == pivot, k, places))]
        factors = jnp.where(places > k, rows[:, k] / rows[k, k], 0)
        return rows - factors[:, None] * rows[k][None]

    rows = jnp.concatenate([system, right_side], axis=1)
    rows = jax.lax.fori_loop(0, count, clear_below, rows)
    upper, reduced = jnp.triu(rows[:, :count]), rows[:, count:]

    def put_in(step: jax.Array, x: jax.Array) -> jax.Array:
        k = count - 1 - step
        known = jnp.sum(upper[k][:, None] * x, axis=0)  # of x all before k is still 0
        value = (reduced[k] - known) / upper[k, k]
        return jnp.where(places[:, None] == k, value[None], x)

    return jax.lax.fori_loop(0, count, put_in, jnp.zeros_like(reduced))
