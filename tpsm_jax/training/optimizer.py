"""Optimizers, and what happens to gradients before them. Reference: train.py."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from tpsm_jax.errors import InputError

LARGEST_GRADIENT = 10.0
WEIGHT_DECAY = 1e-4
BETAS = (0.5, 0.999)

Params = Mapping[str, Any]


def make_optimizer(
    name: str = "",
    arguments: Mapping[str, Any] | None = None,
    *,
    weight_decay: float = WEIGHT_DECAY,
) -> optax.GradientTransformation:
    """An optimizer with learning rate 1. The caller scales its updates by the scheduled rate.

    Args:
      name: a function of optax that makes an optimizer, e.g. "adamw" or "lion"; if empty, the
        reference's optimizer: Adam with decay added to the gradient (L2), not to the step.
      arguments: the function's arguments, without the learning rate.
      weight_decay: weight decay of the reference's optimizer.

    Returns:
      The optimizer.

    Raises:
      InputError: if optax has no such optimizer, or it does not take such arguments.
    """
    if not name:
        return optax.chain(
            optax.add_decayed_weights(weight_decay) if weight_decay else optax.identity(),
            optax.scale_by_adam(*BETAS, eps=1e-8),
            optax.scale_by_learning_rate(1.0),
        )
    try:
        optimizer = getattr(optax, name)(learning_rate=1.0, **(arguments or {}))
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(
            f"optax makes no optimizer of {name!r} and optimizer_params "
            f"{dict(arguments or {})}: {error}"
        ) from error
    if not isinstance(optimizer, optax.GradientTransformation):
        raise InputError(f"optimizer {name!r} is none of optax's optimizers")
    return optimizer


def for_one_network(
    network: str, optimizer: optax.GradientTransformation
) -> optax.GradientTransformation:
    """An optimizer of {network: ...} whose state is that of the network's own parameters.

    Runs of the AVD stage keep it in this form.

    Args:
      network: the only name in the parameters.
      optimizer: steps the network's parameters.
    """

    def init(params: Params) -> Any:
        return optimizer.init(params[network])

    def update(updates: Params, state: Any, params: Params | None = None) -> tuple[Any, Any]:
        inner = None if params is None else params[network]
        stepped, state = optimizer.update(updates[network], state, inner)
        return {network: stepped}, state

    return optax.GradientTransformation(init, update)


def freeze(
    optimizer: optax.GradientTransformation, frozen: Any
) -> optax.GradientTransformationExtraArgs:
    """Leaves some parameters alone, and keeps no state for them.

    Args:
      optimizer: steps the others.
      frozen: a tree like the parameters; True where a parameter is left alone.
    """
    labels = jax.tree.map(lambda is_frozen: "frozen" if is_frozen else "trained", frozen)
    return optax.partition({"trained": optimizer, "frozen": optax.set_to_zero()}, labels)


def frozen_parameters(params: Params, patterns: Sequence[str]) -> Any:
    """Which parameters the config freezes.

    Args:
      params: {network: ...}.
      patterns: regular expressions, each to match a parameter's path from its start, e.g.
        "kp_detector" or "inpainting_network/(first|down_blocks_.*)".

    Returns:
      A tree like `params`; True where a parameter is frozen.

    Raises:
      InputError: if one is no regular expression, or matches nothing.
    """
    matched: set[str] = set()

    def is_frozen(path: tuple[Any, ...], _: Any) -> bool:
        name = "/".join(key.key for key in path)
        hits = {pattern for pattern in patterns if re.match(pattern, name)}
        matched.update(hits)
        return bool(hits)

    try:
        frozen = jax.tree.map_with_path(is_frozen, params)
    except re.error as error:
        raise InputError(f"freeze: a pattern is no regular expression: {error}") from error
    for pattern in patterns:
        if pattern not in matched:
            raise InputError(
                f"freeze: no parameter begins with {pattern!r}; the networks are "
                + ", ".join(sorted(params))
            )
    return frozen


def update_average(average: Params, params: Params, decay: float) -> Params:
    """Moves an exponential moving average towards the parameters.

    Args:
      average: a tree like `params`.
      params: parameters after the step.
      decay: share that the average keeps of itself.

    Returns:
      decay * average + (1 - decay) * params.
    """
    # Not `optax.incremental_update`: it rounds both products, so that the average of a parameter
    # that never changes drifts away from it. Here it stays, to the bit.
    return jax.tree.map(lambda old, new: old + (1 - decay) * (new - old), average, params)


def largest_entries(gradients: Params) -> dict[str, jax.Array]:
    """The largest absolute entry of each network's gradient, a float32 scalar each."""
    return {
        network: optax.tree.norm(tree, ord=jnp.inf).astype(jnp.float32)
        for network, tree in gradients.items()
    }


def bound_gradients(
    gradients: Params, largest: Mapping[str, jax.Array], networks: Sequence[str]
) -> dict[str, Any]:
    """Bounds the largest absolute entry of each network's gradient by 10.

    Args:
      gradients: {network: ...}.
      largest: largest entries, from `largest_entries`.
      networks: names of the networks to bound.

    Returns:
      The gradients; those of other networks as they were. Reference: three calls of
      torch.nn.utils.clip_grad_norm_ with infinity norm in train.py.
    """

    def bounded(network: str, tree: Any) -> Any:
        if network not in networks:
            return tree
        factor = jnp.minimum(1.0, LARGEST_GRADIENT / (largest[network] + 1e-6))
        return jax.tree.map(lambda leaf: leaf * factor, tree)

    return {network: bounded(network, tree) for network, tree in gradients.items()}
