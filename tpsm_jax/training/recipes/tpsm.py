"""The stage that trains all of TPSM but `avd_network`: its random numbers and its losses.

Reference: `GeneratorFullModel` in modules/model.py; paper, section 3.3.
"""

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from ml_collections import ConfigDict

from tpsm_jax.models.dense_motion import draw_kept_tps
from tpsm_jax.models.interface import Variables
from tpsm_jax.models.registry import family_of
from tpsm_jax.models.tpsm import MotionModel
from tpsm_jax.ops.thin_plate_spline import (
    ThinPlateSpline,
    evaluate_thin_plate_spline,
    random_thin_plate_spline,
)
from tpsm_jax.training import schedule
from tpsm_jax.training.augment import augment_batch
from tpsm_jax.training.background_losses import (
    background_equivariance_loss,
    background_points_loss,
    random_affine,
)
from tpsm_jax.training.losses import (
    Features,
    contribution_loss,
    landmark_loss,
    perceptual_loss,
    transform_frame,
    warp_loss,
)
from tpsm_jax.training.schedule import Phase
from tpsm_jax.training.step import Batch, Recipe


def make_recipe(
    config: ConfigDict,
    model: MotionModel,
    *,
    steps_per_epoch: int,
    features: Features,
    optimizers: Mapping[str, optax.GradientTransformation],
    trained: Collection[str],
) -> Recipe:
    """How a config trains the model.

    Args:
      config: the config of the experiment.
      model: the model that `build_model` made.
      steps_per_epoch: batches in an epoch.
      features: function whose feature maps the perceptual loss compares; its variables are the
        constants of the step.
      optimizers: one for each name of the family's `optimizers("model")` that the model needs.
      trained: names of the networks of which something is trained.
    """
    params = config.train_params
    settings = LossSettings.of(params)
    family = family_of(config.model_params)
    groups = family.optimizers("model")

    def losses(
        variables: Variables, batch: Batch, draws: LossDraws, constants: Any, phase: Phase
    ) -> tuple[dict[str, jax.Array], Any]:
        # Stop gradients at frozen networks, so that they are not computed.
        params = {
            name: tree if name in trained else jax.lax.stop_gradient(tree)
            for name, tree in variables["params"].items()
        }
        terms, _, batch_stats = tpsm_losses(
            model,
            {**variables, "params": params},
            batch,
            draws,
            settings,
            lambda images: features(constants, images),
            background=phase.background,
            train=trained,
        )
        return terms, batch_stats

    def phase_of(step: int) -> Phase:
        return schedule.phase_of(config, step // steps_per_epoch)

    def active(phase: Phase) -> tuple[str, ...]:
        idle = () if phase.background else ("bg_predictor",)
        return tuple(name for name in optimizers if name not in idle)

    def learning_rate(step: jax.Array) -> jax.Array:
        return schedule.learning_rate(
            params.lr_generator,
            params.epoch_milestones,
            step // steps_per_epoch,
            step=step,
            warmup_steps=config.warmup_steps,
        )

    def pictures(variables: Variables, batch: Batch, phase: Phase) -> dict[str, Any]:
        pair = batch["source"], batch["driving"]
        outputs = model.apply(variables, *pair, background=phase.background)
        return {"source": pair[0], "driving": pair[1], **outputs}

    return Recipe(
        seed=config.seed,
        phase_of=phase_of,
        picture_phase_of=lambda step: phase_of(step)._replace(dropout=False),
        augment=lambda rng, batch: augment_batch(
            rng, batch, config.dataset_params.augmentation_params
        ),
        draw=lambda rng, step, phase: draw(rng, config, step // steps_per_epoch, phase),
        losses=losses,
        optimizers=optimizers,
        networks={name: groups[name] for name in optimizers},
        active=active,
        bounded=tuple(network.name for network in family.networks if network.clipped),
        learning_rate=learning_rate,
        pictures=pictures,
        accumulate_steps=config.accumulate_steps,
        ema_decay=config.ema_decay,
    )


class LossDraws(NamedTuple):
    """The random numbers of a step's losses.

    Attributes:
      transform: B random splines (every field has a leading axis B), for the equivariance loss.
      kept_tps: [B, K] as for `dropout_softmax`, or None for no dropout.
      affine: B random affine maps [B, 3, 3], for the loss `bg_equivariance`; None without it.
    """

    transform: ThinPlateSpline
    kept_tps: jax.Array | None
    affine: jax.Array | None = None


def draw(rng: jax.Array, config: ConfigDict, epoch: jax.Array, phase: Phase) -> LossDraws:
    """Draws the random numbers of a batch's losses."""
    params, num_tps = config.train_params, config.model_params.common_params.num_tps
    transform_rng, dropout_rng = jax.random.split(rng)

    def spline(rng: jax.Array) -> ThinPlateSpline:
        return random_thin_plate_spline(rng, **params.transform_params)

    transform = jax.vmap(spline)(jax.random.split(transform_rng, params.batch_size))
    affine = None
    if params.loss_weights.get("bg_equivariance", 0):
        affine = random_affine(jax.random.fold_in(rng, 0), params.batch_size)
    if not phase.dropout:
        return LossDraws(transform, None, affine)
    share = schedule.dropout_probability(params, epoch)
    kept = draw_kept_tps(dropout_rng, params.batch_size, num_tps, share)
    if config.dropout_rescale:
        kept = kept / (1 - share)
    return LossDraws(transform, kept, affine)


class LossSettings(NamedTuple):
    """Weights and scales of the losses; a term of weight 0 is not computed.

    Attributes:
      scales: sizes of the picture pyramid, each in (0, 1].
      perceptual: weight of each feature map.
      equivariance: weight of the equivariance loss.
      warp: weight of the warp loss.
      background: weight of the background loss.
      keypoints: weight of the distance between keypoints and landmarks of the data.
      bg_points: weight of how far the background's motion misses points of it that the data has.
      bg_equivariance: weight of how far the background predictor misses a map of one picture.
      contribution: weight of how badly the warps explain the driving picture.
    """

    scales: tuple[float, ...]
    perceptual: tuple[float, ...]
    equivariance: float
    warp: float
    background: float
    keypoints: float = 0
    bg_points: float = 0
    bg_equivariance: float = 0
    contribution: float = 0

    @classmethod
    def of(cls, train_params: Mapping[str, Any]) -> "LossSettings":
        """The settings that the official YAML's `train_params` hold."""
        weights = train_params["loss_weights"]
        return cls(
            scales=tuple(train_params["scales"]),
            perceptual=tuple(weights["perceptual"]),
            equivariance=weights["equivariance_value"],
            warp=weights["warp_loss"],
            background=weights["bg"],
            keypoints=weights.get("keypoints", 0),
            bg_points=weights.get("bg_points", 0),
            bg_equivariance=weights.get("bg_equivariance", 0),
            contribution=weights.get("contribution", 0),
        )


def tpsm_losses(
    model: MotionModel,
    variables: Variables,
    batch: Mapping[str, jax.Array],
    draws: LossDraws,
    settings: LossSettings,
    features: Callable[[jax.Array], Sequence[jax.Array]],
    *,
    background: bool,
    train: bool | Collection[str] = True,
) -> tuple[dict[str, jax.Array], dict[str, Any], Any]:
    """All loss terms of a batch, each times its weight.

    Args:
      model: the model that `build_model` made.
      variables: {"params": ..., "batch_stats": ...}.
      batch: source and driving, [B, H, W, 3] in [0, 1]; source_landmarks and driving_landmarks
        [B, N, 2] if a weight asks for them: the keypoints', then the background's.
      draws: the batch's random numbers.
      settings: weights and scales.
      features: pictures [B, h, w, 3] -> feature maps, as many as there are perceptual weights.
      background: whether the background predictor takes part.
      train: the `train` of `MotionModel`: the networks that use and record the batch's statistics.

    Returns:
      Loss terms under the reference's names, float32 scalars; the model's outputs and
      transformed_frame and transformed_kp; the new batch_stats.
    """

    source, driving = batch["source"], batch["driving"]

    def forward(model: MotionModel) -> tuple[dict[str, jax.Array], dict[str, Any]]:
        outputs = model(
            source, driving, train=train, background=background, kept_tps=draws.kept_tps
        )
        terms = {}
        if any(settings.perceptual):
            terms["perceptual"] = perceptual_loss(
                outputs["prediction"], driving, features, settings.scales, settings.perceptual
            )
        if settings.equivariance:
            transformed = transform_frame(draws.transform, driving)
            kp_transformed = model.keypoints(transformed, train=train)
            outputs |= {"transformed_frame": transformed, "transformed_kp": kp_transformed}
            moved_back = jax.vmap(evaluate_thin_plate_spline)(draws.transform, kp_transformed)
            distance = jnp.mean(jnp.abs(outputs["kp_driving"] - moved_back))
            terms["equivariance_value"] = settings.equivariance * distance
        if settings.warp:
            aims = model.inpainting_network.encode_driving(driving, outputs["occlusion_map"])
            terms["warp_loss"] = settings.warp * warp_loss(outputs["warped_encoder_maps"], aims)
        if settings.keypoints:
            distance = jnp.float32(0)
            for name in ("source", "driving"):
                keypoints = outputs[f"kp_{name}"]
                landmarks = batch[f"{name}_landmarks"][:, : keypoints.shape[1]]
                distance += landmark_loss(keypoints, landmarks)
            terms["keypoints"] = settings.keypoints * distance
        if settings.contribution:
            terms["contribution"] = settings.contribution * contribution_loss(
                outputs["contribution_maps"],
                outputs["warps"],
                outputs["deformed_source"],
                driving,
            )
        motion = outputs["bg_param"]
        if motion is not None:
            predict = functools.partial(model.background, train=train)
            if settings.background:
                there_and_back = jnp.matmul(
                    motion, predict(driving, source), precision=jax.lax.Precision.HIGHEST
                )
                distance = jnp.mean(jnp.abs(jnp.eye(3)[None] - there_and_back))
                terms["bg"] = settings.background * distance
            if settings.bg_points:
                first = outputs["kp_source"].shape[1]
                points = (batch[f"{name}_landmarks"][:, first:] for name in ("source", "driving"))
                terms["bg_points"] = settings.bg_points * background_points_loss(motion, *points)
            if draws.affine is not None:
                missed = background_equivariance_loss(predict, draws.affine, driving)
                terms["bg_equivariance"] = settings.bg_equivariance * missed
        return terms, outputs

    (terms, outputs), changed = nn.apply(forward, model, mutable=["batch_stats"])(variables)
    return terms, outputs, {**variables["batch_stats"], **changed.get("batch_stats", {})}
