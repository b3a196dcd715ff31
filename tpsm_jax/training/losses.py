"""Losses, and the features that the perceptual loss compares.

Reference: `GeneratorFullModel` in modules/model.py; paper, section 3.3.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from tpsm_jax.errors import InputError
from tpsm_jax.models.interface import Variables
from tpsm_jax.models.vgg19 import VGG19
from tpsm_jax.nn.layers import Dtype
from tpsm_jax.ops.coordinates import coordinate_grid
from tpsm_jax.ops.grid_sample import grid_sample
from tpsm_jax.ops.resample import antialias_downsample
from tpsm_jax.ops.thin_plate_spline import ThinPlateSpline, evaluate_thin_plate_spline

# For `contribution_loss`: how far colors are spread around their true value, and the error that is
# assumed for a color from outside the source.
_SPREAD, _UNKNOWN = 0.03, 0.1
PERCEPTUAL_FEATURES = ("vgg19", "vgg19_random", "pixels")

# Pictures [B, H, W, 3] in [0, 1] and variables -> feature maps, one a perceptual weight.
Features = Callable[[Any, jax.Array], Sequence[jax.Array]]


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
      features: pictures [B, h, w, 3] -> feature maps, one for each weight.
      scales: scales of the pyramid.
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
      aims: feature maps that `InpaintingNetwork.encode_driving` returned.

    Returns:
      [] float32.
    """
    pairs = zip(warped, aims, strict=True)
    return sum(
        (jnp.mean(jnp.abs(ours - aim).astype(jnp.float32)) for ours, aim in pairs), jnp.float32(0)
    )


def landmark_loss(keypoints: jax.Array, landmarks: jax.Array) -> jax.Array:
    """Mean absolute difference of keypoints and the places where they should be.

    Args:
      keypoints: [B, N, 2], (x, y) in [-1, 1].
      landmarks: [B, N, 2]; NaN where a place is not known, which counts nothing.

    Returns:
      [] float32; 0 where nothing is known.
    """
    known = jnp.isfinite(landmarks)
    # Replaced before the difference: the gradient of a NaN that is masked later is NaN.
    difference = jnp.abs(keypoints - jnp.where(known, landmarks, 0))
    return jnp.sum(difference * known) / jnp.maximum(jnp.sum(known), 1)


def contribution_loss(
    contribution_maps: jax.Array,
    warps: jax.Array,
    deformed_source: jax.Array,
    driving: jax.Array,
) -> jax.Array:
    """Negative log-likelihood of the driving picture under a mixture of the warped sources.

    A flow is a blend of places, so its gradient cannot tell that a warp with a small share fits a
    pixel better. Here each warp is a Laplace distribution around the colors that it takes from the
    source, as likely as its share: where a warp fits, its share grows, however small it is. Colors
    are compared at full, half and quarter size, where warps are drawn to their place from farther
    away. A warp that points outside the source has a middling error.

    Args:
      contribution_maps: [B, h, w, K+1], sum 1 over the last axis.
      warps: [B, K+1, h, w, 2], (x, y) in the source, which spans [-1, 1].
      deformed_source: [B, K+1, h, w, C], the downsampled source under each warp.
      driving: [B, H, W, C], downsampled here as the source was.

    Returns:
      [] float32, in units of pixel values: 0 if a warp with share 1 fits everywhere.
    """
    scale = deformed_source.shape[2] / driving.shape[1]
    aim = jax.vmap(antialias_downsample, (0, None))(driving, scale)
    # Rounding moves the outermost pixels of an identity a little beyond the border.
    inside = jnp.all(jnp.abs(warps) < 1.001, axis=-1, keepdims=True).astype(jnp.float32)
    difference = (deformed_source - aim[:, None]) * inside
    shares = jnp.moveaxis(contribution_maps, -1, 1)[..., None]
    sizes = [size for size in (1, 2, 4) if size <= min(aim.shape[1:3])]
    total = jnp.float32(0)
    for size in sizes:
        mean = functools.partial(nn.avg_pool, window_shape=(size, size), strides=(size, size))
        errors = (
            jnp.mean(jnp.abs(mean(difference)), axis=-1) + _UNKNOWN * (1 - mean(inside))[..., 0]
        )
        # The epsilon bounds the gradient where a share is 0.
        likelihood = jax.nn.logsumexp(-errors / _SPREAD, axis=1, b=mean(shares)[..., 0] + 1e-12)
        total = total - _SPREAD * jnp.mean(likelihood)
    return total / len(sizes)


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
      dtype: type to compute convolutions in.
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
      seed: seed of the kernels.

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
