"""What changes with the epoch: learning rate, dropout of splines, and which parts take part."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict


class Phase(NamedTuple):
    """What is compiled into a step; a run goes through three phases at most.

    Attributes:
      background: the background predictor is used and trained.
      dropout: splines are dropped, and contribution maps normalized by dropout's rule.
    """

    background: bool
    dropout: bool


def phase_of(config: ConfigDict, epoch: int) -> Phase:
    """The phase of an epoch, counted from 0. Reference: `GeneratorFullModel.forward`."""
    params = config.train_params
    background = config.model_params.common_params.bg and epoch >= params.bg_start
    return Phase(bool(background), epoch < params.dropout_epoch)


def dropout_probability(train_params: Any, epoch: jax.Array) -> jax.Array:
    """The share of dropped splines, which rises to `dropout_maxp` within `dropout_inc_epoch`.

    Args:
      train_params: the section `train_params` of the config.
      epoch: [] integer, counted from 0.

    Returns:
      [] float32 in [0, 1). Reference: `GeneratorFullModel.forward` in modules/model.py.
    """
    rise = epoch / train_params.dropout_inc_epoch * train_params.dropout_maxp
    return jnp.minimum(rise + train_params.dropout_startp, train_params.dropout_maxp)


def learning_rate(
    base: float,
    milestones: Sequence[int],
    epoch: jax.Array,
    *,
    step: jax.Array | None = None,
    warmup_steps: int = 0,
) -> jax.Array:
    """The learning rate of a step.

    Args:
      base: learning rate at the start.
      milestones: epochs from which it is a tenth of what it was.
      epoch: [] integer, counted from 0.
      step: [] integer, counted from 0; for the warm-up.
      warmup_steps: it rises linearly within so many.

    Returns:
      [] float32. Reference: `MultiStepLR` in train.py.
    """
    passed = jnp.sum(jnp.asarray(milestones, jnp.int32) <= epoch)
    # A table of the few values, because 0.1 ** n in float32 is not the rounded product.
    rates = jnp.asarray([base * 0.1**count for count in range(len(milestones) + 1)], jnp.float32)
    rate = rates[passed]
    if warmup_steps:
        assert step is not None
        rate = rate * jnp.minimum(1.0, (step + 1) / warmup_steps)
    return rate
