"""From flow and masks to the picture. Reference: modules/inpainting_network.py."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from tpsm_jax.backends.scale_channels import scale_channels
from tpsm_jax.nn.blocks import DownBlock, ResBlock, SameBlock, UpBlock
from tpsm_jax.nn.layers import Dtype, conv
from tpsm_jax.ops.grid_sample import grid_sample
from tpsm_jax.ops.resample import resize_align_corners


class InpaintingNetwork(nn.Module):
    """Warps the source's features by the flow, masks what is occluded, and paints the rest.

    Attributes:
      num_channels: channels of the pictures.
      block_expansion: features at full size.
      max_features: upper bound of the features.
      num_down_blocks: number of times that the size is halved: H and W must divide by
        2 ** num_down_blocks.
      multi_mask: one mask for each size, or one mask resized to each.
      dtype: type to compute convolutions in.
    """

    num_channels: int
    block_expansion: int
    max_features: int
    num_down_blocks: int
    multi_mask: bool = True
    dtype: Dtype = jnp.float32

    def setup(self) -> None:
        def features(level: int) -> int:
            return min(self.max_features, self.block_expansion * 2**level)

        self.first = SameBlock(self.block_expansion, kernel_size=7, dtype=self.dtype)
        levels = range(self.num_down_blocks)
        self.down_blocks = [DownBlock(features(level + 1), dtype=self.dtype) for level in levels]
        self.resblock = [ResBlock(dtype=self.dtype) for _ in range(2 * self.num_down_blocks)]
        self.up_blocks = [UpBlock(features(level), dtype=self.dtype) for level in reversed(levels)]
        self.final = conv(self.block_expansion, self.num_channels, 7, dtype=self.dtype)

    def __call__(self, source_image: jax.Array, dense_motion: dict[str, Any]) -> dict[str, Any]:
        """Paints the source in the driving pose: `decode` after `encode`."""
        return self.decode(source_image, self.encode(source_image), dense_motion)

    def encode(self, source_image: jax.Array) -> list[jax.Array]:
        """Computes the source's features, which do not depend on the driving picture.

        Args:
          source_image: [B, H, W, C] in [0, 1].

        Returns:
          Feature maps, fine to coarse: [B, H, W, block_expansion], then each half the size.
        """
        encoder_maps = [self.first(source_image)]
        for block in self.down_blocks:
            encoder_maps.append(block(encoder_maps[-1]))
        return encoder_maps

    def encode_driving(
        self, driving_image: jax.Array, occlusion_map: tuple[jax.Array, ...]
    ) -> list[jax.Array]:
        """The driving picture's masked features, constants that the warp loss aims at.

        Args:
          driving_image: [B, H, W, C] in [0, 1].
          occlusion_map: masks that `DenseMotionNetwork` returned.

        Returns:
          Feature maps, coarse to fine, in the order of `warped_encoder_maps`.
        """
        encoder_maps = reversed(self.encode(driving_image))
        masked = [self._mask(x, occlusion_map, i) for i, x in enumerate(encoder_maps)]
        return jax.lax.stop_gradient(masked)

    def decode(
        self,
        source_image: jax.Array,
        encoder_maps: list[jax.Array],
        dense_motion: dict[str, Any],
    ) -> dict[str, Any]:
        """Warps, masks and decodes.

        Args:
          source_image: [B or 1, H, W, C] in [0, 1].
          encoder_maps: feature maps that `encode` returned for it.
          dense_motion: `deformation` and `occlusion_map` of `DenseMotionNetwork`, of batch B.

        Returns:
          prediction: [B, H, W, C] float32 in [0, 1].
          deformed: [B, H, W, C], the source warped by the flow.
          warped_encoder_maps: warped and masked features, coarse to fine, whose gradient reaches
            the flow alone (for the warp loss).
        """
        flow, masks = dense_motion["deformation"], dense_motion["occlusion_map"]
        skips, warped_encoder_maps = [], []
        for i, features in enumerate(reversed(encoder_maps)):
            warped, constant = _warp_twice(features, flow)
            skips.append(self._mask(warped, masks, i))
            warped_encoder_maps.append(self._mask(constant, jax.lax.stop_gradient(masks), i))

        x = skips[0]
        for i, up_block in enumerate(self.up_blocks):
            x = up_block(self.resblock[2 * i + 1](self.resblock[2 * i](x)))
            if i < self.num_down_blocks - 1:
                x = jnp.concatenate([x, skips[i + 1]], axis=-1)

        mask = masks[-1] if self.multi_mask else _resize(masks[-1], *x.shape[1:3])
        x = scale_channels(x, (1 - mask[..., 0]).astype(self.dtype)) + skips[-1]
        painted = nn.sigmoid(self.final(x).astype(jnp.float32))
        deformed = _warp(source_image, flow)
        return {
            "prediction": painted * (1 - mask) + deformed * mask,
            "deformed": deformed,
            "warped_encoder_maps": warped_encoder_maps,
        }

    def enlarge(
        self, outputs: dict[str, Any], dense_motion: dict[str, Any], source_image: jax.Array
    ) -> jax.Array:
        """Enlarges a painted picture; where the source is visible, with the source's own detail.

        Not in the reference. Detail is what the warped source has more than the same source warped
        at the painted size.

        Args:
          outputs: `prediction` and `deformed` of `decode`, [B, h, w, C].
          dense_motion: as for `decode`.
          source_image: the source at a larger size, [1 or B, H, W, C] in [0, 1].

        Returns:
          [B, H, W, C] float32 in [0, 1].
        """
        height, width = source_image.shape[1:3]
        flow, mask = dense_motion["deformation"], dense_motion["occlusion_map"][-1]

        def larger(images: jax.Array) -> jax.Array:
            shape = (images.shape[0], height, width, images.shape[3])
            return jax.image.resize(images, shape, "bicubic")

        detail = _warp(source_image, flow) - larger(outputs["deformed"])
        mask = _resize(mask, height, width)
        return jnp.clip(larger(outputs["prediction"]) + mask * detail, 0, 1)

    def _mask(self, features: jax.Array, masks: tuple[jax.Array, ...], level: int) -> jax.Array:
        """Hides what is occluded. Level 0 is the coarsest."""
        mask = masks[level] if self.multi_mask else _resize(masks[0], *features.shape[1:3])
        return scale_channels(features, mask[..., 0].astype(features.dtype))


def _resize(images: jax.Array, height: int, width: int) -> jax.Array:
    """Align-corners bilinear, over a batch; nothing to do where the size is right."""
    if images.shape[1:3] == (height, width):
        return images
    return jax.vmap(lambda image: resize_align_corners(image, height, width))(images)


def _warp(images: jax.Array, flow: jax.Array) -> jax.Array:
    """Samples [B or 1, H, W, C] by the flow [B, h, w, 2], resized to H x W."""
    flow = _resize(flow, *images.shape[1:3])
    if images.shape[0] == 1:
        return jax.vmap(grid_sample, (None, 0))(images[0], flow)
    return jax.vmap(grid_sample)(images, flow)


@jax.custom_vjp
def _warp_twice(features: jax.Array, flow: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`_warp`, and the same values again, whose gradient reaches the flow alone.

    Differentiated backwards only, not forwards (`jax.jvp`).
    """
    warped = _warp(features, flow)
    return warped, warped


def _forward(features: jax.Array, flow: jax.Array) -> tuple[Any, Any]:
    return _warp_twice(features, flow), (features, flow)


def _backward(kept: Any, gradients: Any) -> tuple[jax.Array, jax.Array]:
    of_warped, of_constant = gradients
    pull = jax.vjp(_warp, *kept)[1]
    # One pass for the flow, which both reach; what is not used of either is not computed.
    return pull(of_warped)[0], pull(of_warped + of_constant)[1]


_warp_twice.defvjp(_forward, _backward)
