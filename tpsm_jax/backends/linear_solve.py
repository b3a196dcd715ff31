"""Small systems of linear equations; on a TPU solved without moving them between devices."""

import jax
import jax.numpy as jnp

from tpsm_jax.backends.backend import backend


def solve(system: jax.Array, right_side: jax.Array) -> jax.Array:
    """Solves a small symmetric system.

    Args:
      system: [n, n] float32, symmetric.
      right_side: [n, m] float32.

    Returns:
      [n, m] float32: x with system x = right_side.
    """
    if backend() == "tpu":
        return _solve_by_elimination(system, right_side)
    return solve_plain(system, right_side)


def solve_plain(system: jax.Array, right_side: jax.Array) -> jax.Array:
    """Computes `solve` in its plain form."""
    return jnp.linalg.solve(system, right_side)


def _solve_by_elimination(system: jax.Array, right_side: jax.Array) -> jax.Array:
    """Solves by elimination with partial pivoting.

    On a TPU `jnp.linalg.solve` is a custom call that XLA cannot shard: it would all-gather the
    systems of the whole batch, and every device would solve all of them.
    """

    def apply(x: jax.Array) -> jax.Array:
        return jnp.matmul(system, x, precision=jax.lax.Precision.HIGHEST)

    return jax.lax.custom_linear_solve(
        apply, right_side, lambda _, right_side: _eliminate(system, right_side), symmetric=True
    )


def _eliminate(system: jax.Array, right_side: jax.Array) -> jax.Array:
    count = system.shape[0]
    indices = jnp.arange(count)

    def clear_below(k: jax.Array, rows: jax.Array) -> jax.Array:
        pivot = jnp.argmax(jnp.where(indices >= k, jnp.abs(rows[:, k]), -1))
        rows = rows[jnp.where(indices == k, pivot, jnp.where(indices == pivot, k, indices))]
        factors = jnp.where(indices > k, rows[:, k] / rows[k, k], 0)
        return rows - factors[:, None] * rows[k][None]

    rows = jnp.concatenate([system, right_side], axis=1)
    rows = jax.lax.fori_loop(0, count, clear_below, rows)
    upper, reduced = jnp.triu(rows[:, :count]), rows[:, count:]

    def substitute(step: jax.Array, x: jax.Array) -> jax.Array:
        k = count - 1 - step
        known = jnp.sum(upper[k][:, None] * x, axis=0)  # rows of x up to k are still 0
        value = (reduced[k] - known) / upper[k, k]
        return jnp.where(indices[:, None] == k, value[None], x)

    return jax.lax.fori_loop(0, count, substitute, jnp.zeros_like(reduced))
