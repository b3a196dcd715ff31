"""One step of training, the same for every stage and family. Reference: train.py, train_avd.py."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from tpsm_jax.parallel.sharding import batch_sharding, replicated
from tpsm_jax.training.accumulation import accumulate
from tpsm_jax.training.optimizer import bound_gradients, largest_entries, update_average
from tpsm_jax.training.state import TrainState

Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a stage trains: what `train_step` is made of. All functions are pure.

    A phase is what is compiled into a step, hashable; a run goes through a few of them.

    Attributes:
      seed: seed of all random numbers.
      phase_of: step, counted from 0 -> its phase.
      picture_phase_of: step -> the phase that `pictures` gets, so that few are compiled.
      augment: (rng, uint8 batch) -> the batch that the losses take, pictures float32 in [0, 1].
      draw: (rng, step, phase) -> the random numbers of the losses, with a leading axis B.
      losses: (variables, batch, draws, constants, phase) -> loss terms, each times its weight, as
        float32 scalars by name; and the new batch_stats of the networks that changed theirs.
      optimizers: name -> optimizer, for a learning rate of 1.
      networks: optimizer -> names of the networks that it steps.
      active: phase -> names of the optimizers that step. The others keep their count of steps.
      bounded: names of the networks whose gradient is bounded, see `bound_gradients`.
      learning_rate: step -> float32.
      accumulate_steps: parts that a batch is computed in.
      ema_decay: share that the average of the parameters keeps of itself; 0 for no average.
      pictures: (variables, batch, phase) -> source, driving, and the model's outputs, to look at.
    """

    seed: int
    phase_of: Callable[[int], Any]
    picture_phase_of: Callable[[int], Any]
    augment: Callable[[jax.Array, Batch], Batch]
    draw: Callable[[jax.Array, jax.Array, Any], Any]
    losses: Callable[..., tuple[dict[str, jax.Array], Any]]
    optimizers: Mapping[str, optax.GradientTransformation]
    networks: Mapping[str, tuple[str, ...]]
    active: Callable[[Any], tuple[str, ...]]
    bounded: tuple[str, ...]
    learning_rate: Callable[[jax.Array], jax.Array]
    pictures: Callable[..., dict[str, Any]]
    accumulate_steps: int = 1
    ema_decay: float = 0.0


def train_step(
    state: TrainState, batch: Batch, constants: Any, *, recipe: Recipe, phase: Any, mesh: Mesh
) -> tuple[TrainState, Metrics]:
    """Takes one step of training; pure.

    Args:
      state: the state before the step.
      batch: name -> array with a leading axis B, as the reader gives it: pictures are uint8.
      constants: further arrays that the losses take, e.g. VGG-19's variables; None for nothing.
      recipe: the recipe of the stage.
      phase: the phase `recipe.phase_of(state.step)`, known when the step is compiled.
      mesh: the mesh that state and batch lie on.

    Returns:
      The next state, and float32 scalars: "loss", "loss/TERM" (times its weight),
      "gradient/NETWORK" (largest absolute entry), "learning_rate/OPTIMIZER", and "finite": 0 where
      loss or gradients are not, and then the state is as before but for `step`.
    """
    # Augment, and draw what the losses need.
    rng = jax.random.fold_in(jax.random.key(recipe.seed), state.step)
    augment_rng, draw_rng = jax.random.split(rng)
    batch = recipe.augment(augment_rng, batch)
    draws = recipe.draw(draw_rng, state.step, phase)
    draws = jax.lax.with_sharding_constraint(draws, batch_sharding(mesh))

    # Losses and their gradient, for the networks that this stage trains.
    # All-gather a sharded state once, here. Otherwise XLA gathers at every use.
    whole, batch_stats = jax.lax.with_sharding_constraint(
        (state.params, state.batch_stats), replicated(mesh)
    )
    names = [name for group in recipe.networks.values() for name in group]
    trained = {name: whole[name] for name in names}

    def loss_of(trained: Any, batch_stats: Any, part: Any) -> tuple[jax.Array, Any]:
        variables = {"params": {**whole, **trained}, "batch_stats": batch_stats}
        terms, changed = recipe.losses(variables, *part, constants, phase)
        return sum(terms.values(), jnp.float32(0)), (terms, {**batch_stats, **changed})

    gradients, (terms, batch_stats) = accumulate(
        jax.grad(loss_of, has_aux=True),
        trained,
        batch_stats,
        (batch, draws),
        recipe.accumulate_steps,
    )
    loss = sum(terms.values(), jnp.float32(0))

    # Bound the gradients.
    largest = largest_entries(gradients)
    gradients = bound_gradients(gradients, largest, recipe.bounded)
    finite = jnp.isfinite(loss + sum(largest.values()))

    # Update the parameters, and their average.
    rate = recipe.learning_rate(state.step)
    params, opt_state = dict(state.params), dict(state.opt_state)
    for name in recipe.active(phase):
        group = {network: params[network] for network in recipe.networks[name]}
        updates, opt_state[name] = recipe.optimizers[name].update(
            {network: gradients[network] for network in group}, opt_state[name], group
        )
        params |= optax.apply_updates(group, optax.tree.scale(rate, updates))
    ema_params = state.ema_params
    if ema_params is not None:
        ema_params = update_average(ema_params, params, recipe.ema_decay)

    # Keep all of it if it is finite.
    after = TrainState(state.step, params, batch_stats, opt_state, ema_params)
    after = jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, state)

    metrics = {
        "loss": loss,
        **{f"loss/{name}": value for name, value in terms.items()},
        **{f"gradient/{name}": value for name, value in largest.items()},
        **{f"learning_rate/{name}": rate for name in recipe.active(phase)},
        "finite": finite.astype(jnp.float32),
    }
    return after.replace(step=state.step + 1), metrics
