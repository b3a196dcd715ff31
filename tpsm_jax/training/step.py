"""One step of training: losses, gradients, optimisers. Reference: train.py and modules/model.py."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from tpsm_jax.errors import InputError
from tpsm_jax.models.dense_motion import draw_kept_tps
from tpsm_jax.models.interface import Variables
from tpsm_jax.models.registry import build_model, check_image_size, init_variables, variable_shapes
from tpsm_jax.models.vgg19 import SMALLEST as SMALLEST_FOR_VGG19
from tpsm_jax.nn.layers import Dtype
from tpsm_jax.ops.thin_plate_spline import ThinPlateSpline, random_thin_plate_spline
from tpsm_jax.parallel.sharding import (
    batch_sharding,
    check_batch_size,
    replicated,
    state_shardings,
)
from tpsm_jax.training import schedule
from tpsm_jax.training.accumulation import accumulate
from tpsm_jax.training.augment import augment
from tpsm_jax.training.losses import (
    Draws,
    LossSettings,
    make_features,
    random_vgg19,
    training_losses,
)
from tpsm_jax.training.optimizer import (
    GROUPS,
    freeze,
    frozen_parameters,
    largest_entries,
    make_optimizer,
    scale_gradients,
    update_average,
)
from tpsm_jax.training.schedule import Phase
from tpsm_jax.training.state import TrainState, quick_compiler_options

Metrics = dict[str, jax.Array]
REMAT = ("kp_detector", "bg_predictor", "dense_motion_network", "inpainting_network", "vgg19")
_NETWORKS = [name for group in GROUPS.values() for name in group]  # all but that of AVD


class ModelTrainer:
    """Trains detector, dense motion, inpainting and background predictor together."""

    def __init__(
        self,
        config: ConfigDict,
        mesh: Mesh,
        *,
        steps_per_epoch: int,
        initial_variables: Variables | None = None,
        vgg19: Variables | None = None,
    ):
        """Makes everything that a step needs but the state.

        Args:
          config: of the experiment.
          mesh: of all devices, see `make_mesh`.
          steps_per_epoch: batches in an epoch.
          initial_variables: networks that start from given weights, see `initial_networks`; the
            others start anew. Those that this stage does not have are left out.
          vgg19: variables of `VGG19`, for `perceptual_features: 'vgg19'`.

        Raises:
          InputError: if the config cannot be trained, or the given weights do not fit it.
        """
        params = config.train_params
        check_image_size(config.model_params, *config.image_size)
        check_batch_size(params.batch_size, mesh, config.accumulate_steps)
        if unknown := set(config.remat) - set(REMAT):
            raise InputError(f"remat: {sorted(unknown)[0]!r} is none of {', '.join(REMAT)}")
        self.config, self.mesh = config, mesh
        self.batch_size = params.batch_size
        self.num_epochs = params.num_epochs
        self.steps_per_epoch = steps_per_epoch
        dtype = compute_dtype(config)
        self.model = build_model(
            config.model_params, dtype=dtype, remat=set(config.remat) - {"vgg19"}
        )
        self._features = make_features(
            config.perceptual_features, dtype=dtype, remat="vgg19" in config.remat
        )
        self._check_perceptual_features()
        self._vgg19 = jax.device_put(self._choose_vgg19(vgg19), replicated(mesh))
        networks = variable_shapes(config.model_params, networks=_NETWORKS)
        self._optimizers, self._trained = self._make_optimizers(networks["params"])
        self._shapes = jax.eval_shape(self._state_of, networks)
        self._initial = self._choose_initial(initial_variables)
        self.shardings = state_shardings(self._shapes, mesh, config.state_sharding)
        self._step = self._compile()
        self._next_step = 0

    def create_state(self) -> TrainState:
        """The state before the first step, on the devices of the mesh.

        To be called once: the given weights are let go of.
        """
        init = jax.jit(
            self._init,
            out_shardings=self.shardings,
            compiler_options=quick_compiler_options(),
        )
        state = init(jax.random.key(self.config.seed))
        if self._initial is None:
            return state
        given, self._initial = self._initial, None

        def with_given(collection: str, field: str) -> Any:
            shardings, networks = getattr(self.shardings, field), given[collection]
            return {
                **getattr(state, field),
                **jax.device_put(networks, {name: shardings[name] for name in networks}),
            }

        return state.replace(
            params=with_given("params", "params"),
            batch_stats=with_given("batch_stats", "batch_stats"),
            ema_params=state.ema_params and with_given("params", "ema_params"),
        )

    def abstract_state(self) -> TrainState:
        """Shapes, types and shardings of the state, without its values."""
        return jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            self._shapes,
            self.shardings,
        )

    def start(self, step: int) -> None:
        """Tells which step comes next, so that the device need not be asked."""
        self._next_step = step

    def step(self, state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, Metrics]:
        """Takes the next step.

        Args:
          state: given up.
          batch: source and driving, [B, H, W, 3] uint8, sharded.

        Returns:
          The next state, and float32 scalars: "loss", "loss/TERM" (times its weight),
          "gradient/NETWORK" (largest absolute entry), "learning_rate/OPTIMISER", and "finite": 0
          where loss or gradients are not, and then the state is as before but for `step`.
        """
        phase = schedule.phase_of(self.config, self._next_step // self.steps_per_epoch)
        self._next_step += 1
        return self._step(state, batch, self._vgg19, phase)

    def lower(self, phase: Phase) -> Any:
        """The step of a phase before it is compiled, for reading and counting."""
        height, width = self.config.image_size
        picture = jax.ShapeDtypeStruct(
            (self.batch_size, height, width, 3), jnp.uint8, sharding=batch_sharding(self.mesh)
        )
        batch = {"source": picture, "driving": picture}
        return self._step.lower(self.abstract_state(), batch, self._vgg19, phase)

    def outputs(self, state: TrainState, batch: dict[str, jax.Array], count: int) -> dict[str, Any]:
        """What the model makes of the first `count` samples, in evaluation mode, for pictures.

        Returns:
          source and driving [n, H, W, 3] float32 in [0, 1] and the outputs of `MotionModel`, on
          every device.
        """
        epoch = max(self._next_step - 1, 0) // self.steps_per_epoch
        background = schedule.phase_of(self.config, epoch).background
        return self._outputs(state, batch, count, background)

    def update(
        self,
        state: TrainState,
        source: jax.Array,
        driving: jax.Array,
        draws: Draws,
        vgg19: Variables | None,
        *,
        phase: Phase,
    ) -> tuple[TrainState, Metrics]:
        """A step with its random numbers given; pure.

        Args:
          state: before.
          source: [B, H, W, 3] float32 in [0, 1].
          driving: likewise.
          draws: of the whole batch.
          vgg19: variables for the perceptual features.
          phase: see `Phase`.

        Returns:
          As `step`.
        """
        terms, gradients, batch_stats = self.gradients(
            state, source, driving, draws, vgg19, phase=phase
        )
        return self.apply(state, terms, gradients, batch_stats, phase=phase)

    def gradients(
        self,
        state: TrainState,
        source: jax.Array,
        driving: jax.Array,
        draws: Draws,
        vgg19: Variables | None,
        *,
        phase: Phase,
    ) -> tuple[Metrics, dict[str, Any], Any]:
        """The first half of `update`: loss terms, their gradient, and the new statistics.

        Of one batch or of several parts; arguments as for `update`.
        """
        # A state that is cut is put together here, once; else it would be wherever it is used, and
        # activations be moved to where the parameters are.
        params, batch_stats = jax.lax.with_sharding_constraint(
            (state.params, state.batch_stats), replicated(self.mesh)
        )

        def losses(params: Any, batch_stats: Any, part: Any) -> tuple[jax.Array, Any]:
            variables = {"params": params, "batch_stats": batch_stats}
            source, driving, draws = part
            terms, batch_stats = self.losses(variables, source, driving, draws, vgg19, phase=phase)
            return sum(terms.values(), jnp.float32(0)), (terms, batch_stats)

        gradients, (terms, batch_stats) = accumulate(
            jax.grad(losses, has_aux=True),
            params,
            batch_stats,
            (source, driving, draws),
            self.config.accumulate_steps,
        )
        return terms, gradients, batch_stats

    def losses(
        self,
        variables: Variables,
        source: jax.Array,
        driving: jax.Array,
        draws: Draws,
        vgg19: Variables | None,
        *,
        phase: Phase,
    ) -> tuple[Metrics, Any]:
        """Loss terms and the new statistics; arguments as for `update`."""
        terms, _, batch_stats = training_losses(
            self.model,
            variables,
            source,
            driving,
            draws,
            LossSettings.of(self.config.train_params),
            functools.partial(self._features, vgg19),
            background=phase.background,
            train=self._trained,
        )
        return terms, batch_stats

    def apply(
        self,
        state: TrainState,
        terms: Metrics,
        gradients: dict[str, Any],
        batch_stats: Any,
        *,
        phase: Phase,
    ) -> tuple[TrainState, Metrics]:
        """The second half of `update`: the optimisers' steps.

        Args:
          state: before.
          terms: of the loss.
          gradients: of their sum, {network: ...}.
          batch_stats: that the losses left.
          phase: see `Phase`.

        Returns:
          As `step`.
        """
        loss = sum(terms.values(), jnp.float32(0))
        largest = largest_entries(gradients)
        gradients = scale_gradients(gradients, largest)
        finite = jnp.isfinite(loss + sum(largest.values()))

        epoch = state.step // self.steps_per_epoch
        rate = schedule.learning_rate(
            self.config.train_params.lr_generator,
            self.config.train_params.epoch_milestones,
            epoch,
            step=state.step,
            warmup_steps=self.config.warmup_steps,
        )
        params, opt_state = dict(state.params), dict(state.opt_state)
        rates = {}
        for group, optimizer in self._optimizers.items():
            if group == "bg_predictor" and not phase.background:
                continue
            # One that has not begun keeps its count of steps; its rate falls with the others'.
            of_group = {name: params[name] for name in GROUPS[group]}
            updates, opt_state[group] = optimizer.update(
                {name: gradients[name] for name in of_group}, opt_state[group], of_group
            )
            params |= optax.apply_updates(of_group, optax.tree.scale(rate, updates))
            rates[f"learning_rate/{group}"] = rate
        ema_params = state.ema_params
        if ema_params is not None:
            ema_params = update_average(ema_params, params, self.config.ema_decay)
        after = TrainState(state.step, params, batch_stats, opt_state, ema_params)
        after = jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, state)
        metrics = {
            "loss": loss,
            **{f"loss/{name}": value for name, value in terms.items()},
            **{f"gradient/{name}": value for name, value in largest.items()},
            **rates,
            "finite": finite.astype(jnp.float32),
        }
        return after.replace(step=state.step + 1), metrics

    def draw(self, rng: jax.Array, epoch: jax.Array, phase: Phase) -> Draws:
        """Draws the random numbers of a batch's losses."""
        params, num_tps = self.config.train_params, self.config.model_params.common_params.num_tps
        transform_rng, dropout_rng = jax.random.split(rng)

        def spline(rng: jax.Array) -> ThinPlateSpline:
            return random_thin_plate_spline(rng, **params.transform_params)

        transform = jax.vmap(spline)(jax.random.split(transform_rng, self.batch_size))
        if not phase.dropout:
            return Draws(transform, None)
        share = schedule.dropout_probability(params, epoch)
        kept = draw_kept_tps(dropout_rng, self.batch_size, num_tps, share)
        if self.config.dropout_rescale:
            kept = kept / (1 - share)
        return Draws(transform, kept)

    def _compile(self) -> Any:
        whole, shared = replicated(self.mesh), batch_sharding(self.mesh)
        augmentation = self.config.dataset_params.augmentation_params

        def step(
            state: TrainState, batch: dict[str, jax.Array], vgg19: Variables | None, phase: Phase
        ) -> tuple[TrainState, Metrics]:
            rng = jax.random.fold_in(jax.random.key(self.config.seed), state.step)
            augment_rng, draw_rng = jax.random.split(rng)
            pair = augment(augment_rng, batch["source"], batch["driving"], augmentation)
            source, driving = (image.astype(jnp.float32) / 255 for image in pair)
            draws = self.draw(draw_rng, state.step // self.steps_per_epoch, phase)
            draws = jax.lax.with_sharding_constraint(draws, shared)
            return self.update(state, source, driving, draws, vgg19, phase=phase)

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
        def outputs(
            state: TrainState, batch: dict[str, jax.Array], count: int, background: bool
        ) -> dict[str, Any]:
            pair = [batch[key][:count].astype(jnp.float32) / 255 for key in ("source", "driving")]
            made = self.model.apply(state.variables(), *pair, background=background)
            made.pop("warped_encoder_maps")
            return {"source": pair[0], "driving": pair[1], **made}

        return outputs

    def _init(self, rng: jax.Array) -> TrainState:
        size = self.config.image_size
        return self._state_of(init_variables(self.model, rng, *size, networks=_NETWORKS))

    def _state_of(self, variables: Variables) -> TrainState:
        """The state before the first step."""
        params = variables["params"]
        return TrainState(
            step=jnp.int32(0),
            params=params,
            batch_stats=variables["batch_stats"],
            opt_state={
                group: optimizer.init({name: params[name] for name in GROUPS[group]})
                for group, optimizer in self._optimizers.items()
            },
            ema_params=jax.tree.map(jnp.copy, params) if self.config.ema_decay else None,
        )

    def _make_optimizers(
        self, shapes: Any
    ) -> tuple[dict[str, optax.GradientTransformation], frozenset[str]]:
        """The optimiser of each group, and the networks of which something is trained."""
        frozen = frozen_parameters(shapes, self.config.freeze)
        optimizers = {}
        for group, networks in GROUPS.items():
            if not all(name in shapes for name in networks):
                continue
            optimizer = make_optimizer(self.config.optimizer, self.config.optimizer_params)
            of_group = {name: frozen[name] for name in networks}
            if any(jax.tree.leaves(of_group)):
                optimizer = freeze(optimizer, of_group)
            optimizers[group] = optimizer
        trained = (name for name in shapes if not all(jax.tree.leaves(frozen[name])))
        return optimizers, frozenset(trained)

    def _choose_initial(self, given: Variables | None) -> Variables | None:
        """Those of the given networks that the state has."""
        shapes = self._shapes.variables()
        for name in self.config.init_networks:
            if name not in shapes["params"]:
                raise InputError(
                    f"init_networks: {name!r} is none of this stage's networks, "
                    + ", ".join(sorted(shapes["params"]))
                )
        if given is None:
            return None
        chosen = {
            collection: {name: tree for name, tree in given[collection].items() if name in networks}
            for collection, networks in shapes.items()
        }
        for name in chosen["params"]:
            found, expected = (
                [jax.tree.map(np.shape, networks.get(name)) for networks in variables.values()]
                for variables in (chosen, shapes)
            )
            if found != expected:
                raise InputError(f"init_from: {name} has other shapes than model_params describe")
        return chosen

    def _choose_vgg19(self, given: Variables | None) -> Variables | None:
        kind = self.config.perceptual_features
        if kind == "vgg19_random":
            return random_vgg19(seed=0)
        if kind == "vgg19" and given is None:
            raise InputError(
                "perceptual_features 'vgg19' needs the weights of VGG-19: get vgg19-dcbb9e9d.pth, "
                "then `python convert_torch_weights.py --vgg19 vgg19-dcbb9e9d.pth --output "
                f"{self.config.vgg19_dir}`"
            )
        return given if kind == "vgg19" else None

    def _check_perceptual_features(self) -> None:
        height, width = self.config.image_size
        least = int(min(self.config.train_params.scales) * min(height, width))
        if self.config.perceptual_features != "pixels" and least < SMALLEST_FOR_VGG19:
            raise InputError(
                f"train_params.scales make pictures of {least} pixels, and perceptual_features "
                f"{self.config.perceptual_features!r} takes {SMALLEST_FOR_VGG19} or more: leave "
                "out the smallest scales, or take larger pictures"
            )
        expected = 1 if self.config.perceptual_features == "pixels" else 5
        weights = self.config.train_params.loss_weights.perceptual
        if len(weights) != expected:
            raise InputError(
                f"train_params.loss_weights.perceptual has {len(weights)} weights, and "
                f"perceptual_features {self.config.perceptual_features!r} makes {expected}"
            )


def compute_dtype(config: ConfigDict) -> Dtype:
    """The type that convolutions are computed in.

    Raises:
      InputError: if `compute_dtype` is neither float32 nor bfloat16.
    """
    if config.compute_dtype not in ("float32", "bfloat16"):
        raise InputError(f"compute_dtype is 'float32' or 'bfloat16', not {config.compute_dtype!r}")
    return jnp.dtype(config.compute_dtype)


def initial_networks(variables: Variables, names: tuple[str, ...]) -> Variables:
    """Those networks of a checkpoint that training starts from.

    Args:
      variables: of the checkpoint.
      names: of the networks; all that it has if empty.

    Returns:
      `variables` with these networks alone, NumPy arrays.

    Raises:
      InputError: if the checkpoint lacks one.
    """
    present = variables["params"]
    for name in names:
        if name not in present:
            raise InputError(
                f"init_networks: the checkpoint has no {name!r}, only {', '.join(sorted(present))}"
            )
    wanted = set(names or present)
    return {
        collection: {
            name: jax.device_get(tree) for name, tree in networks.items() if name in wanted
        }
        for collection, networks in variables.items()
    }
