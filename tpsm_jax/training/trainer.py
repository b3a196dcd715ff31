"""A recipe's step, compiled for the devices of a mesh, and the state that it changes."""

import functools
from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from tpsm_jax.models.interface import Variables, without_losses
from tpsm_jax.parallel.sharding import batch_sharding, replicated, state_shardings
from tpsm_jax.runtime.program_memory import FirstCalls
from tpsm_jax.runtime.quick_compile import quick_compiler_options
from tpsm_jax.training.augment import float_pictures
from tpsm_jax.training.state import TrainState
from tpsm_jax.training.step import Batch, Metrics, Recipe, train_step


class Trainer:
    """What the loop trains; made by `setup`.

    Attributes:
      recipe: the recipe of the stage.
      mesh: the devices.
      batch_size: B, over all devices.
      num_epochs: where a run ends.
      steps_per_epoch: batches in an epoch.
      shardings: layout of the state on the devices, a tree like `TrainState`.
    """

    def __init__(
        self,
        recipe: Recipe,
        model: Any,
        mesh: Mesh,
        *,
        batch_size: int,
        num_epochs: int,
        steps_per_epoch: int,
        init: Callable[[jax.Array], Variables],
        shapes: Variables,
        given: Variables | None = None,
        constants: Any = None,
        state_sharding: str = "replicated",
    ):
        """Compiles nothing yet.

        Args:
          recipe: the recipe of the stage.
          model: the model that `build_model` made.
          mesh: the mesh of all devices.
          batch_size: B, over all devices.
          num_epochs: where a run ends.
          steps_per_epoch: batches in an epoch.
          init: rng -> the variables that are drawn.
          shapes: `jax.ShapeDtypeStruct`s of the variables that are drawn.
          given: NumPy arrays of networks to start from, in place of drawn ones and in addition.
          constants: constants of `train_step`; sent to all devices.
          state_sharding: a rule of `state_shardings`.
        """
        self.recipe, self.mesh = recipe, mesh
        self.batch_size, self.num_epochs = batch_size, num_epochs
        self.steps_per_epoch = steps_per_epoch
        self._model, self._draw, self._given = model, init, given
        self._drawn = jax.eval_shape(self._state_of, shapes)
        self._shapes = self._drawn
        if given is not None:
            self._shapes = jax.eval_shape(_with_given, self._drawn, given)
        self.shardings = state_shardings(self._shapes, mesh, state_sharding)
        self._constants = jax.device_put(constants, replicated(mesh))
        self._step = self._compile()
        self._first_calls = FirstCalls()

    def create_state(self) -> TrainState:
        """The state before the first step, on the devices of the mesh.

        Call it once: the given weights are let go of.
        """
        shardings = self.shardings
        drawn = shardings.replace(
            params=_only(shardings.params, self._drawn.params),
            batch_stats=_only(shardings.batch_stats, self._drawn.batch_stats),
            ema_params=shardings.ema_params and _only(shardings.ema_params, self._drawn.params),
        )
        init = jax.jit(self._init, out_shardings=drawn, compiler_options=quick_compiler_options())
        state = init(jax.random.key(self.recipe.seed))
        if self._given is None:
            return state
        given, self._given = self._given, None
        placed = {
            collection: jax.device_put(networks, _only(getattr(shardings, collection), networks))
            for collection, networks in given.items()
        }
        state = _with_given(state, placed)
        if state.ema_params is None:
            return state
        # Copies of their own: the step donates the state, and a buffer can be donated only once.
        own = jax.device_put(given["params"], _only(shardings.ema_params, given["params"]))
        return state.replace(ema_params={**state.ema_params, **own})

    def abstract_state(self) -> TrainState:
        """Shapes, types and shardings of the state, without its values."""
        return jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            self._shapes,
            self.shardings,
        )

    def step(self, state: TrainState, batch: Batch, step: int) -> tuple[TrainState, Metrics]:
        """Takes a step by `train_step`.

        Args:
          state: given up.
          batch: uint8 pictures, sharded.
          step: `state.step`, so that the device need not be asked.

        Raises:
          InputError: the step does not fit into memory.
        """
        phase = self.recipe.phase_of(step)
        lower = functools.partial(self._step.lower, state, batch, self._constants, phase)
        self._first_calls.check(phase, lower)
        return self._step(state, batch, self._constants, phase)

    def lower(self, batch: Any, phase: Any) -> Any:
        """The step of a phase before it is compiled, for reading and counting.

        Args:
          batch: arrays, or `jax.ShapeDtypeStruct`s with shardings.
          phase: a phase of the recipe.
        """
        return self._step.lower(self.abstract_state(), batch, self._constants, phase)

    def outputs(self, state: TrainState, batch: Batch, count: int, step: int) -> dict[str, Any]:
        """What the model makes of the first `count` samples, in evaluation mode, for pictures.

        Args:
          state: with the weights; their average is used where it is kept.
          batch: a batch, as `step` takes it.
          count: samples.
          step: the step whose phase says which networks take part.

        Returns:
          source and driving [n, H, W, 3] float32 in [0, 1], and the model's outputs but those
          that only losses need, on every device.
        """
        return self._outputs(state, batch, count, self.recipe.picture_phase_of(step))

    def _compile(self) -> Any:
        whole, shared = replicated(self.mesh), batch_sharding(self.mesh)

        def step(state: TrainState, batch: Batch, constants: Any, phase: Any) -> Any:
            return train_step(
                state, batch, constants, recipe=self.recipe, phase=phase, mesh=self.mesh
            )

        return jax.jit(
            step,
            static_argnums=3,
            in_shardings=(self.shardings, shared, whole),
            out_shardings=(self.shardings, whole),
            donate_argnums=0,
        )

    @functools.cached_property
    def _outputs(self) -> Any:
        @functools.partial(
            jax.jit,
            static_argnums=(2, 3),
            in_shardings=(self.shardings, batch_sharding(self.mesh)),
            out_shardings=replicated(self.mesh),
        )
        def outputs(state: TrainState, batch: Batch, count: int, phase: Any) -> dict[str, Any]:
            some = float_pictures({name: x[:count] for name, x in batch.items()})
            made = self.recipe.pictures(state.variables(), some, phase)
            return without_losses(self._model, made)

        return outputs

    def _init(self, rng: jax.Array) -> TrainState:
        """What is drawn of the state. Given weights would become constants of the program."""
        return self._state_of(self._draw(rng))

    def _state_of(self, variables: Variables) -> TrainState:
        """The state before the first step; the optimizers' does not depend on the parameters."""
        params = variables["params"]
        return TrainState(
            step=jnp.int32(0),
            params=params,
            batch_stats=variables["batch_stats"],
            opt_state={
                name: optimizer.init(_only(params, self.recipe.networks[name]))
                for name, optimizer in self.recipe.optimizers.items()
            },
            ema_params=jax.tree.map(jnp.copy, params) if self.recipe.ema_decay else None,
        )


def _only(networks: dict[str, Any], wanted: Collection[str]) -> dict[str, Any]:
    return {name: networks[name] for name in wanted}


def _with_given(state: TrainState, given: Variables) -> TrainState:
    params = {**state.params, **given["params"]}
    return state.replace(
        params=params,
        batch_stats={**state.batch_stats, **given["batch_stats"]},
        ema_params=state.ema_params and {**state.ema_params, **given["params"]},
    )
