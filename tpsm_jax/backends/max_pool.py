"""Max pooling at stride 2."""

import functools

import jax
import jax.numpy as jnp

from tpsm_jax.backends.backend import backend


def max_pool(x: jax.Array, window: int, *, padding: int = 0) -> jax.Array:
    """Takes the maximum of every `window` x `window` pixels, at stride 2.

    Args:
      x: [B, H, W, C].
      window: side of the window.
      padding: pixels of -inf on each side.

    Returns:
      [B, H', W', C] with H' = (H + 2 padding - window) // 2 + 1, and W' accordingly. Where several
      pixels of a window are the largest, the plain form hands the gradient to one of them, the
      other form to several.
    """
    if backend() == "plain":
        return max_pool_plain(x, window, padding)
    return _max_of_slices(x, window, padding)


def max_pool_plain(x: jax.Array, window: int, padding: int) -> jax.Array:
    """Computes `max_pool` in its plain form."""
    sides = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    return jax.lax.reduce_window(
        x, -jnp.inf, jax.lax.max, (1, window, window, 1), (1, 2, 2, 1), sides
    )


def _max_of_slices(x: jax.Array, window: int, padding: int) -> jax.Array:
    # The gradient of the plain form takes ten times as long on a CPU.
    borders = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    x = jnp.pad(x, borders, constant_values=-jnp.inf)
    for axis in (1, 2):
        last = (x.shape[axis] - window) // 2 * 2 + 1
        x = functools.reduce(
            jnp.maximum,
            [jax.lax.slice_in_dim(x, i, i + last, stride=2, axis=axis) for i in range(window)],
        )
    return x
