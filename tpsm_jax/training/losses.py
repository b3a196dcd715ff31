"""The four losses. Reference: `GeneratorFullModel` in modules/model.py; paper, section 3.3."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from tpsm_jax.errors import InputError
from tpsm_jax.models.interface import Variables
from tpsm_jax.models.tpsm import MotionModel
from tpsm_jax.models.vgg19 import VGG19
from tpsm_jax.nn.layers import Dtype
from tpsm_jax.ops.coordinates import coordinate_grid
from tpsm_jax.ops.grid_sample import grid_sample
from tpsm_jax.ops.resample import antialias_downsample
from tpsm_jax.ops.thin_plate_spline import ThinPlateSpline, evaluate_thin_plate_spline

PERCEPTUAL_FEATURES = ("vgg19", "vgg19_random", "pixels")

# Pictures [B, H, W, 3] in [0, 1] and variables -> feature maps, one a perceptual weight.
Features = Callable[[Any, jax.Array], Sequence[jax.Array]]


class LossSettings(NamedTuple):
    """What the losses need to know of a config.

    Attributes:
      scales: of the picture pyramid, each in (0, 1].
      perceptual: weight of each feature map.
      equivariance: weight.
      warp: weight.
      background: weight.
    """

    scales: tuple[float, ...]
    perceptual: tuple[float, ...]
    equivariance: float
    warp: float
    background: float

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
        )


class Draws(NamedTuple):
    """The random numbers of a step's losses.

    Attributes:
      transform: B random splines (every field has a leading axis B), for the equivariance loss.
      kept_tps: [B, K] as for `dropout_softmax`, or None for no dropout.
    """

    transform: ThinPlateSpline
    kept_tps: jax.Array | None


def training_losses(
    model: MotionModel,
    variables: Variables,
    source: jax.Array,
    driving: jax.Array,
    draws: Draws,
    settings: LossSettings,
    features: Callable[[jax.Array], Sequence[jax.Array]],
    *,
    background: bool,
    train: bool | Collection[str] = True,
) -> tuple[dict[str, jax.Array], dict[str, Any], Any]:
    """All loss terms of a batch, each times its weight.

    Args:
      model: of `build_model`.
      variables: {"params": ..., "batch_stats": ...}.
      source: [B, H, W, 3] in [0, 1].
      driving: [B, H, W, 3] in [0, 1].
      draws: the batch's random numbers.
      settings: weights and scales; a term of weight 0 is not computed.
      features: pictures [B, h, w, 3] -> feature maps, as many as there are perceptual weights.
      background: whether the background predictor takes part.
      train: as for `MotionModel`: whose batch statistics are used and recorded.

    Returns:
      Loss terms under the reference's names, float32 scalars; the model's outputs and
      transformed_frame and transformed_kp; the new batch_stats.
    """

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
        if outputs["bg_param"] is not None and settings.background:
            reverse = model.background(driving, source, train=train)
            there_and_back = jnp.matmul(
                outputs["bg_param"], reverse, precision=jax.lax.Precision.HIGHEST
            )
            terms["bg"] = settings.background * jnp.mean(jnp.abs(jnp.eye(3)[None] - there_and_back))
        return terms, outputs

    (terms, outputs), changed = nn.apply(forward, model, mutable=["batch_stats"])(variables)
    return terms, outputs, {**variables["batch_stats"], **changed.get("batch_stats", {})}


def perceptual_loss(
    prediction: jax.Array,
    driving: jax.Array,
    features: Callable[[jax.Array], Sequence[jax.Array]],
    scales: Sequence[float],
    weights: Sequence[float],
) -> jax.Array:
    """Mean absolute difference of feature maps, summed over scales and maps with weights.

    Args:
      prediction: [B, H, W, 3] in [0, 1].
      driving: [B, H, W, 3] in [0, 1]; no gradient goes there.
      features: as for `training_losses`.
      scales: of the pyramid.
      weights: one a feature map.

    Returns:
      [] float32.
    """
    total = jnp.float32(0)
    downsample = jax.vmap(antialias_downsample, (0, None))
    for scale in scales:
        ours = features(downsample(prediction, scale))
        aims = jax.lax.stop_gradient(features(downsample(driving, scale)))
        for weight, our, aim in zip(weights, ours, aims, strict=True):
            difference = jnp.abs(our - aim).astype(jnp.float32)
            total = total + weight * jnp.mean(difference)
    return total


def warp_loss(warped: Sequence[jax.Array], aims: Sequence[jax.Array]) -> jax.Array:
    """Mean absolute difference of the source's warped features and the driving picture's, summed.

    Args:
      warped: `warped_encoder_maps`, whose gradient reaches the flow alone.
      aims: as `InpaintingNetwork.encode_driving` returns them.

    Returns:
      [] float32.
    """
    pairs = zip(warped, aims, strict=True)
    return sum(
        (jnp.mean(jnp.abs(ours - aim).astype(jnp.float32)) for ours, aim in pairs), jnp.float32(0)
    )


def transform_frame(transform: ThinPlateSpline, images: jax.Array) -> jax.Array:
    """Pictures under random splines, mirrored at their borders.

    Args:
      transform: B splines.
      images: [B, H, W, 3].

    Returns:
      [B, H, W, 3].
    """
    grid = coordinate_grid(*images.shape[1:3])

    def warp(spline: ThinPlateSpline, image: jax.Array) -> jax.Array:
        positions = evaluate_thin_plate_spline(spline, grid)
        return grid_sample(image, positions, padding_mode="reflection")

    return jax.vmap(warp)(transform, images)


def make_features(kind: str, *, dtype: Dtype = jnp.float32, remat: bool = False) -> Features:
    """The features that the perceptual loss compares.

    Args:
      kind: "vgg19" or "vgg19_random": the five of VGG-19; "pixels": the pictures themselves.
      dtype: to compute convolutions in.
      remat: compute inner values again for the gradient.

    Returns:
      A function of VGG-19's variables (None for pixels) and pictures.

    Raises:
      InputError: for another kind.
    """
    if kind not in PERCEPTUAL_FEATURES:
        raise InputError(
            f"perceptual_features is one of {', '.join(PERCEPTUAL_FEATURES)}, not {kind!r}"
        )
    if kind == "pixels":
        return lambda _, images: [images]
    apply = VGG19(dtype=dtype).apply
    return jax.checkpoint(apply) if remat else apply


def random_vgg19(seed: int) -> Variables:
    """VGG-19 with kernels of He's deviation and no biases: features that ask for no download.

    Args:
      seed: of the kernels.

    Returns:
      {"params": ...} for `VGG19`.
    """
    shapes = jax.eval_shape(VGG19().init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    leaves, structure = jax.tree.flatten(shapes)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    draw = nn.initializers.he_normal()
    values = [
        draw(key, leaf.shape) if len(leaf.shape) > 1 else jnp.zeros(leaf.shape)
        for key, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, values)
