"""From keypoints to optical flow and occlusion masks.

Reference: `DenseMotionNetwork` in modules/dense_motion.py.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from tpsm_jax.models.interface import check_divides
from tpsm_jax.models.keypoint_detector import POINTS_PER_TPS
from tpsm_jax.nn.blocks import UpBlock
from tpsm_jax.nn.hourglass import Hourglass
from tpsm_jax.nn.layers import Dtype, conv
from tpsm_jax.ops.coordinates import coordinate_grid, gaussian_heatmaps
from tpsm_jax.ops.grid_sample import grid_sample
from tpsm_jax.ops.resample import antialias_downsample
from tpsm_jax.ops.thin_plate_spline import (
    ThinPlateSpline,
    evaluate_thin_plate_spline,
    fit_affine,
    fit_thin_plate_spline,
)

NUM_MASKS = 4  # with `multi_mask`
Fit = Callable[[jax.Array, jax.Array], ThinPlateSpline]
FITS: dict[str, Fit] = {"tps": fit_thin_plate_spline, "affine": fit_affine}


class DenseMotionNetwork(nn.Module):
    """Blends K thin-plate-spline warps and one background warp into a flow, and predicts masks.

    Attributes:
      block_expansion: features of the hourglass at full size.
      num_blocks: number of blocks of the hourglass.
      max_features: upper bound of the hourglass's features.
      num_tps: splines, K.
      num_channels: channels of the pictures.
      scale_factor: size at which motion is estimated, relative to the picture.
      multi_mask: four occlusion masks at doubling sizes, or one.
      kp_variance: variance of the keypoint heatmaps.
      warps: "tps", or "affine" for affine maps in place of splines, as an ablation.
      dtype: type to compute convolutions in; geometry, softmax and masks are float32.
    """

    block_expansion: int
    num_blocks: int
    max_features: int
    num_tps: int
    num_channels: int = 3
    scale_factor: float = 0.25
    multi_mask: bool = True
    kp_variance: float = 0.01
    warps: str = "tps"
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        source_image: jax.Array,
        kp_driving: jax.Array,
        kp_source: jax.Array,
        bg_param: jax.Array | None = None,
        *,
        kept_tps: jax.Array | None = None,
    ) -> dict[str, Any]:
        """Estimates the motion from driving to source.

        Args:
          source_image: [B or 1, H, W, C] in [0, 1].
          kp_driving: [B, 5 K, 2], (x, y) in [-1, 1].
          kp_source: [B or 1, 5 K, 2].
          bg_param: [B, 3, 3] affine motion of the background; the identity if None.
          kept_tps: [B, K], the splines that dropout keeps, see `dropout_softmax`; no dropout, and
            a plain softmax, if None.

        Returns:
          deformed_source: [B, K+1, h, w, C], the downsampled source under each warp, background
            first.
          warps: [B, K+1, h, w, 2], where each driving pixel comes from under each warp.
          contribution_maps: [B, h, w, K+1], sum 1 over the last axis.
          deformation: [B, h, w, 2], the flow: where each driving pixel comes from in the source.
          occlusion_map: tuple of [B, h_i, w_i, 1] in [0, 1], coarse to fine.

        Raises:
          InputError: if the networks cannot take pictures of that size.
          ValueError: with `multi_mask`, if `scale_factor` is below 1/16.
        """
        check_divides(source_image.shape[1:3], round(2**self.num_blocks / self.scale_factor))
        source = jax.vmap(antialias_downsample, (0, None))(source_image, self.scale_factor)
        height, width = source.shape[1:3]
        batch = kp_driving.shape[0]

        warps = tps_warps(kp_driving, kp_source, height, width, fit=FITS[self.warps])
        background = background_warp(bg_param, batch, height, width)
        transformations = jnp.concatenate([background[:, None], warps], axis=1)
        deformed_source = _sample_under_each_warp(source, transformations)

        heatmaps = self._heatmaps(kp_driving, kp_source, height, width)
        stacked = jnp.moveaxis(deformed_source, 1, 3).reshape(batch, height, width, -1)
        hourglass = Hourglass(
            self.block_expansion,
            self.num_blocks,
            self.max_features,
            dtype=self.dtype,
            name="hourglass",
        )
        features = hourglass(jnp.concatenate([heatmaps, stacked], axis=-1))

        logits = self._conv7(features[-1], self.num_tps + 1, "maps")
        if kept_tps is None:
            contribution_maps = nn.softmax(logits, axis=-1)
        else:
            contribution_maps = dropout_softmax(logits, kept_tps)
        weights = jnp.moveaxis(contribution_maps, -1, 1)[..., None]
        return {
            "deformed_source": deformed_source,
            "warps": transformations,
            "contribution_maps": contribution_maps,
            "deformation": jnp.sum(transformations * weights, axis=1),
            "occlusion_map": self._masks(features),
        }

    def _conv7(self, x: jax.Array, features: int, name: str) -> jax.Array:
        out = conv(x.shape[-1], features, 7, dtype=self.dtype, name=name)(x)
        return out.astype(jnp.float32)

    def _heatmaps(
        self, kp_driving: jax.Array, kp_source: jax.Array, height: int, width: int
    ) -> jax.Array:
        """Driving minus source heatmaps, after an empty one that stands for the background."""

        def draw(keypoints: jax.Array) -> jax.Array:
            return gaussian_heatmaps(keypoints, height, width, variance=self.kp_variance)

        difference = jax.vmap(draw)(kp_driving) - jax.vmap(draw)(kp_source)
        return jnp.pad(difference, ((0, 0), (0, 0), (0, 0), (1, 0)))

    def _masks(self, features: list[jax.Array]) -> tuple[jax.Array, ...]:
        if not self.multi_mask:
            return (nn.sigmoid(self._conv7(features[-1], 1, "occlusion_0")),)
        finer = int(math.log2(1 / self.scale_factor))
        if finer > NUM_MASKS:
            raise ValueError(
                f"scale_factor {self.scale_factor} leaves no room for {NUM_MASKS} masks"
            )
        inputs = features[len(features) - (NUM_MASKS - finer) :]
        x = features[-1]
        for i in range(finer):
            x = UpBlock(x.shape[-1] // 2, dtype=self.dtype, name=f"up_{i}")(x)
            inputs = [*inputs, x]
        return tuple(nn.sigmoid(self._conv7(x, 1, f"occlusion_{i}")) for i, x in enumerate(inputs))


def tps_warps(
    kp_driving: jax.Array,
    kp_source: jax.Array,
    height: int,
    width: int,
    *,
    fit: Fit = fit_thin_plate_spline,
) -> jax.Array:
    """The K thin-plate-spline warps from driving to source, as dense grids.

    Args:
      kp_driving: [B, 5 K, 2].
      kp_source: [B or 1, 5 K, 2].
      height: rows of the grids.
      width: columns of the grids.
      fit: control points and targets, [5, 2] each -> the spline.

    Returns:
      [B, K, h, w, 2]. Source: paper, Eq. 2.
    """
    batch = kp_driving.shape[0]
    grid = coordinate_grid(height, width)

    def warp(control_points: jax.Array, targets: jax.Array) -> jax.Array:
        return evaluate_thin_plate_spline(fit(control_points, targets), grid)

    control_points = kp_driving.reshape(batch, -1, POINTS_PER_TPS, 2)
    targets = jnp.broadcast_to(kp_source, kp_driving.shape).reshape(control_points.shape)
    return jax.vmap(jax.vmap(warp))(control_points, targets)


def background_warp(bg_param: jax.Array | None, batch: int, height: int, width: int) -> jax.Array:
    """The background's affine warp as a dense grid.

    Args:
      bg_param: [B, 3, 3], acting on (x, y, 1); the identity if None.
      batch: B.
      height: rows of the grid.
      width: columns of the grid.

    Returns:
      [B, h, w, 2].
    """
    grid = coordinate_grid(height, width)
    if bg_param is None:
        return jnp.broadcast_to(grid[None], (batch, height, width, 2))
    homogeneous = jnp.concatenate([grid, jnp.ones((height, width, 1))], axis=-1)
    moved = jnp.einsum("bij,hwj->bhwi", bg_param, homogeneous, precision=jax.lax.Precision.HIGHEST)
    return moved[..., :2] / moved[..., 2:]


def draw_kept_tps(
    rng: jax.Array, batch: int, num_tps: int, dropout_p: float | jax.Array
) -> jax.Array:
    """Draws which splines dropout keeps: each is dropped with probability `dropout_p`.

    Args:
      rng: a JAX random key.
      batch: B.
      num_tps: K.
      dropout_p: in [0, 1).

    Returns:
      [B, K] bool, true where kept. Source: paper, Eq. 7.
    """
    return jax.random.bernoulli(rng, 1 - dropout_p, (batch, num_tps))


def dropout_softmax(logits: jax.Array, kept_tps: jax.Array) -> jax.Array:
    """Softmax over the warps that are kept; the background always is.

    Args:
      logits: [B, h, w, K+1], the background's first.
      kept_tps: [B, K], true where kept; or the factors of the kept, as the paper's 1/(1-P), and 0.

    Returns:
      [B, h, w, K+1], 0 for dropped splines; the sum falls short of 1 by the reference's 1e-6.
      Source: paper, Eq. 8; in the official code its rescaling by 1/(1-P) has no effect:
      `dropout_softmax` in modules/dense_motion.py.
    """
    factors = jnp.pad(kept_tps.astype(jnp.float32), ((0, 0), (1, 0)), constant_values=1)
    # Over all maps, dropped ones too, as in the reference: the 1e-6 below depends on it.
    exponentials = jnp.exp(logits - jnp.max(logits, axis=-1, keepdims=True))
    exponentials = exponentials * factors[:, None, None, :]
    return exponentials / (jnp.sum(exponentials, axis=-1, keepdims=True) + 1e-6)


def _sample_under_each_warp(source: jax.Array, transformations: jax.Array) -> jax.Array:
    """[B or 1, h, w, C] under [B, K+1, h, w, 2] -> [B, K+1, h, w, C]."""
    under_warps = jax.vmap(grid_sample, (None, 0))
    if source.shape[0] == 1:
        return jax.vmap(under_warps, (None, 0))(source[0], transformations)
    return jax.vmap(under_warps)(source, transformations)
