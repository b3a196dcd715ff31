"""The gradient of a batch, computed part by part to take less memory."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

# (params, batch_stats, batch) -> (gradient, (terms, batch_stats)), as `jax.grad` makes it.
Gradient = Callable[[Any, Any, Any], tuple[Any, tuple[Any, Any]]]


def accumulate(
    gradient: Gradient, params: Any, batch_stats: Any, batch: Any, parts: int
) -> tuple[Any, tuple[Any, Any]]:
    """Averages a gradient over the parts of a batch, computed one after the other.

    Args:
      gradient: a function whose loss and terms are means over samples.
      params: its parameters.
      batch_stats: statistics before the batch; each part starts from those of the part before.
      batch: a tree of [B, ...] arrays.
      parts: number of parts; a divisor of B.

    Returns:
      As `gradient`: gradient and terms averaged over the parts, and the last part's batch_stats.
    """
    if parts == 1:
        return gradient(params, batch_stats, batch)

    # Rows of a part lie a stride apart, so that every device keeps its own.
    split = jax.tree.map(
        lambda leaf: leaf.reshape(-1, parts, *leaf.shape[1:]).swapaxes(0, 1), batch
    )

    def add(carry: Any, part: Any) -> tuple[Any, None]:
        total, batch_stats = carry
        gradients, (terms, batch_stats) = gradient(params, batch_stats, part)
        return (optax.tree.add(total, (gradients, terms)), batch_stats), None

    first = jax.tree.map(lambda leaf: leaf[0], split)
    gradients, (terms, _) = jax.eval_shape(gradient, params, batch_stats, first)
    nothing = jax.tree.map(jnp.zeros_like, (gradients, terms))
    (total, batch_stats), _ = jax.lax.scan(add, (nothing, batch_stats), split)
    gradients, terms = optax.tree.scale(1 / parts, total)
    return gradients, (terms, batch_stats)
