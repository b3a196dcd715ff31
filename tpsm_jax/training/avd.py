"""Training of the AVD network on a frozen model. Reference: train_avd.py; paper, section 3.4."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from tpsm_jax.checkpoints.converted import Checkpoint
from tpsm_jax.errors import InputError
from tpsm_jax.models.interface import Variables
from tpsm_jax.models.registry import build_model, check_image_size, init_variables, variable_shapes
from tpsm_jax.models.tpsm import MotionModel
from tpsm_jax.parallel.sharding import (
    batch_sharding,
    check_batch_size,
    replicated,
    state_shardings,
)
from tpsm_jax.training import schedule
from tpsm_jax.training.augment import augment
from tpsm_jax.training.optimizer import largest_entries, make_optimizer
from tpsm_jax.training.state import TrainState, quick_compiler_options
from tpsm_jax.training.step import Metrics, compute_dtype

_NETWORK = "avd_network"
# Fields of the config that only the other stage heeds, and what they are where nobody set them.
_UNUSED_FIELDS = {
    "optimizer": "",
    "optimizer_params": {},
    "warmup_steps": 0,
    "accumulate_steps": 1,
    "remat": (),
    "freeze": (),
    "init_from": "",
    "init_networks": (),
    "eval_every": 0,  # a reconstruction does without avd_network
}


class AVDTrainer:
    """Trains `avd_network` to undo a random scaling of keypoints; no other network changes."""

    def __init__(
        self, config: ConfigDict, mesh: Mesh, *, steps_per_epoch: int, checkpoint: Checkpoint
    ):
        """Makes everything that a step needs but the state.

        Args:
          config: of the experiment. The checkpoint's `model_params` are used, not its own; nor is
            its `ema_decay`, which experiments set for the other stage: no average is kept.
          mesh: of all devices, see `make_mesh`.
          steps_per_epoch: batches in an epoch.
          checkpoint: the trained model. Its `avd_network`, if it has one, is trained further.

        Raises:
          InputError: if a field is set that is not for this stage, the model cannot take pictures
            of this size, the batch does not divide among the devices, or `compute_dtype` or
            `state_sharding` is unknown.
        """
        params, model_params = config.train_avd_params, checkpoint.config.model_params
        _check_unused_fields(config)
        check_image_size(model_params, *config.image_size)
        check_batch_size(params.batch_size, mesh, field="train_avd_params.batch_size")
        self.config, self.mesh = config, mesh
        self.batch_size = params.batch_size
        self.num_epochs = params.num_epochs
        self.steps_per_epoch = steps_per_epoch
        self.model = build_model(model_params, dtype=compute_dtype(config))
        self._given = jax.device_get(checkpoint.variables)
        # The reference decays no weights here.
        self._optimizer = make_optimizer(weight_decay=0.0)
        self._shapes = jax.eval_shape(
            lambda fresh, given: _with_given(self._state_of(fresh), given),
            variable_shapes(model_params, networks=[_NETWORK]),
            self._given,
        )
        self.shardings = state_shardings(self._shapes, mesh, config.state_sharding)
        augmentation = config.dataset_params.augmentation_params

        def step(state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, Metrics]:
            rng = jax.random.fold_in(jax.random.key(config.seed), state.step)
            augment_rng, scale_rng = jax.random.split(rng)
            pair = augment(augment_rng, batch["source"], batch["driving"], augmentation)
            source, driving = (image.astype(jnp.float32) / 255 for image in pair)
            scale = draw_scale(scale_rng, self.batch_size, params.random_scale)
            return self.update(state, source, driving, scale)

        shared, whole = batch_sharding(mesh), replicated(mesh)
        self._step = jax.jit(
            step,
            in_shardings=(self.shardings, shared),
            out_shardings=(self.shardings, whole),
            donate_argnums=0,
        )
        self._outputs = jax.jit(
            self._animate,
            static_argnums=2,
            in_shardings=(self.shardings, shared),
            out_shardings=whole,
        )

    def create_state(self) -> TrainState:
        """The state before the first step, on the devices of the mesh."""
        init = jax.jit(self._init, compiler_options=quick_compiler_options())
        fresh = jax.device_get(init(jax.random.key(self.config.seed)))
        return jax.device_put(_with_given(fresh, self._given), self.shardings)

    def abstract_state(self) -> TrainState:
        """Shapes, types and shardings of the state, without its values."""
        return jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            self._shapes,
            self.shardings,
        )

    def start(self, step: int) -> None:
        """Nothing depends on the step but what the state tells the device."""

    def step(self, state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, Metrics]:
        """Takes a step; see `ModelTrainer.step`."""
        return self._step(state, batch)

    def outputs(self, state: TrainState, batch: dict[str, jax.Array], count: int) -> dict[str, Any]:
        """Each source moved by another sample's driving picture, through `avd_network`.

        Returns:
          As `ModelTrainer.outputs`.
        """
        return self._outputs(state, batch, count)

    def update(
        self, state: TrainState, source: jax.Array, driving: jax.Array, scale: jax.Array
    ) -> tuple[TrainState, Metrics]:
        """A step with its random numbers given; pure.

        Args:
          state: before.
          source: [B, H, W, 3] float32 in [0, 1].
          driving: likewise.
          scale: [B, 2], factors of x and y for the driving keypoints.

        Returns:
          As `step`.
        """
        params = self.config.train_avd_params
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        # The reference leaves the detector in training mode here; frozen should mean frozen.
        kp_source, kp_driving = (
            self.model.apply(variables, image, method="keypoints") for image in (source, driving)
        )

        def loss_of(avd_params: Any) -> tuple[jax.Array, Any]:
            def forward(model: MotionModel) -> jax.Array:
                return model.avd_network(kp_source, kp_driving * scale[:, None, :], train=True)

            inner = {**variables, "params": {**state.params, _NETWORK: avd_params}}
            restored, changed = self.model.apply(inner, method=forward, mutable=["batch_stats"])
            distance = jnp.mean(jnp.abs(kp_driving - restored))
            return params.lambda_shift * distance, changed["batch_stats"]

        before = state.params[_NETWORK]
        (loss, batch_stats), gradient = jax.value_and_grad(loss_of, has_aux=True)(before)
        largest = largest_entries({_NETWORK: gradient})
        finite = jnp.isfinite(loss + largest[_NETWORK])
        # The reference tells its scheduler the epoch that is over: a milestone acts one later.
        epoch = state.step // self.steps_per_epoch
        rate = schedule.learning_rate(params.lr, params.epoch_milestones, epoch - 1)
        updates, opt_state = self._optimizer.update(gradient, state.opt_state["avd"], before)
        after = TrainState(
            state.step,
            {
                **state.params,
                _NETWORK: optax.apply_updates(before, optax.tree.scale(rate, updates)),
            },
            {**state.batch_stats, **batch_stats},
            {"avd": opt_state},
        )
        after = jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, state)
        metrics = {
            "loss": loss,
            "loss/rec_kp": loss,
            f"gradient/{_NETWORK}": largest[_NETWORK],
            "learning_rate/avd": rate,
            "finite": finite.astype(jnp.float32),
        }
        return after.replace(step=state.step + 1), metrics

    def _init(self, rng: jax.Array) -> TrainState:
        """What is not given of the state; the rest would become constants of the program."""
        size = self.config.image_size
        return self._state_of(init_variables(self.model, rng, *size, networks=[_NETWORK]))

    def _state_of(self, fresh: Variables) -> TrainState:
        # Its values do not depend on the parameters', in case that others are given.
        opt_state = {"avd": self._optimizer.init(fresh["params"][_NETWORK])}
        return TrainState(jnp.int32(0), fresh["params"], fresh["batch_stats"], opt_state)

    def _animate(
        self, state: TrainState, batch: dict[str, jax.Array], count: int
    ) -> dict[str, Any]:
        source, driving = (
            batch[key][:count].astype(jnp.float32) / 255 for key in ("source", "driving")
        )
        driving = jnp.roll(driving, 1, axis=0)

        def forward(model: MotionModel) -> dict[str, Any]:
            encoded = model.encode_source(source)
            kp_driving = model.avd_network(encoded["kp_source"], model.keypoints(driving))
            return model.generate(encoded, kp_driving)

        made = self.model.apply(state.variables(), method=forward)
        made.pop("warped_encoder_maps")
        return {"source": source, "driving": driving, **made}


def _with_given(fresh: TrainState, given: Variables) -> TrainState:
    return fresh.replace(
        params={**fresh.params, **given["params"]},
        batch_stats={**fresh.batch_stats, **given["batch_stats"]},
    )


def _check_unused_fields(config: ConfigDict) -> None:
    settings = config.to_dict()
    for name, neutral in _UNUSED_FIELDS.items():
        # Whatever is empty says nothing, as a list in place of the tuple.
        if (settings[name] or neutral) != neutral:
            raise InputError(f"{name} is not for --stage avd")


def draw_scale(rng: jax.Array, batch: int, extent: float) -> jax.Array:
    """Draws by how much each sample's driving keypoints are stretched.

    Args:
      rng: a JAX random key.
      batch: B.
      extent: in [0, 1).

    Returns:
      [B, 2] in [1 - extent, 1 + extent], for x and y. Reference: `random_scale` in train_avd.py.
    """
    return jax.random.uniform(rng, (batch, 2), minval=1 - extent, maxval=1 + extent)
