"""The project's parts of a frame, each compiled alone."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from benchmarks.common.op_cases import noise
from benchmarks.common.roofline import Work, compiled
from tpsm_jax.backends.scale_channels import scale_channels
from tpsm_jax.models.dense_motion import background_warp, tps_warps
from tpsm_jax.models.registry import build_model, init_variables
from tpsm_jax.models.tpsm import MotionModel
from tpsm_jax.nn.hourglass import Hourglass
from tpsm_jax.ops.coordinates import gaussian_heatmaps
from tpsm_jax.ops.grid_sample import grid_sample
from tpsm_jax.ops.resample import antialias_downsample, resize_align_corners


class Part(NamedTuple):
    """A part of a frame or of a step.

    Attributes:
      work: the project's form of it.
      count: how often the whole needs it; 0 for a part of another part, and for the whole.
      theirs: whether the official code has it, under the same name.
    """

    work: Work
    count: int
    theirs: bool = True


def frame_parts(config: ConfigDict) -> dict[str, Part]:
    """Returns the parts by name. A source's features have count 0: they are needed once a clip."""
    model, variables, (source, driving) = build(config)

    def work(call: Callable[..., Any], *arguments: Any) -> Work:
        def apply(variables: Any, *arguments: Any) -> Any:
            return model.apply(variables, *arguments, method=call)

        return compiled(apply, variables, *arguments, count_program=True)

    encode = work(lambda m, source: m.encode_source(source), source)
    encoded = encode.run()
    kp_source, maps = encoded["kp_source"], encoded["encoder_maps"]
    detect = work(lambda m, image: m.kp_detector(image), driving)
    points = (source, detect.run(), kp_source)
    move = work(lambda m, *given: m.dense_motion_network(*given), *points)
    motion = {key: move.run()[key] for key in ("deformation", "occlusion_map")}
    decode = work(
        lambda m, *given: m.inpainting_network.decode(*given)["prediction"], source, maps, motion
    )
    both = work(lambda m, *given: m.inpainting_network(*given)["prediction"], source, motion)
    frame = work(
        lambda m, encoded, image: m.generate(encoded, m.kp_detector(image))["prediction"],
        encoded,
        driving,
    )
    warp = compiled(warp_and_mask, source, maps, motion, count_program=True)
    return {
        "keypoint detector": Part(detect, 1),
        "dense motion": Part(move, 1),
        **dense_motion_parts(config, variables, points),
        "inpainting decoder": Part(decode, 1, theirs=False),
        "  warps and masks": Part(warp, 0),
        "inpainting encoder and decoder": Part(both, 0),
        "detector and encoder of a source": Part(encode, 0),
        "frame, whole": Part(frame, 0),
    }


def build(config: ConfigDict) -> tuple[MotionModel, dict[str, Any], list[Any]]:
    """Builds the model, random variables, and two pictures of noise, [1, H, W, 3] in [0, 1]."""
    model = build_model(config.model_params, dtype=jnp.dtype(config.compute_dtype))
    height, width = config.image_size
    variables = jax.jit(init_variables, static_argnums=(0, 2, 3))(
        model, jax.random.key(0), height, width
    )
    pictures = [jax.nn.sigmoid(noise(seed, 1, height, width, 3)) for seed in range(2)]
    return model, variables, pictures


def dense_motion_parts(config: ConfigDict, variables: Any, points: Any) -> dict[str, Part]:
    """The stages of dense motion before its last convolutions."""
    sizes = config.model_params.dense_motion_params

    def draw(source: Any, kp_driving: Any, kp_source: Any) -> Any:
        small = antialias_downsample(source[0], sizes.scale_factor)
        size = small.shape[:2]
        background = background_warp(None, 1, *size)[:, None]
        warps = jnp.concatenate([background, tps_warps(kp_driving, kp_source, *size)], axis=1)
        deformed = jax.vmap(grid_sample, (None, 0))(small, warps[0])
        heatmaps = gaussian_heatmaps(kp_driving[0], *size) - gaussian_heatmaps(kp_source[0], *size)
        deformed = jnp.moveaxis(deformed, 0, 2).reshape(*size, -1)
        # The background's heatmap is empty.
        return jnp.concatenate([jnp.zeros((*size, 1)), heatmaps, deformed], axis=-1)[None]

    drawn = compiled(draw, *points, count_program=True)
    hourglass = Hourglass(sizes.block_expansion, sizes.num_blocks, sizes.max_features)
    params = {"params": variables["params"]["dense_motion_network"]["hourglass"]}
    through = compiled(hourglass.apply, params, drawn.run(), count_program=True)
    return {
        "  splines, warps, heatmaps": Part(drawn, 0),
        "  hourglass": Part(through, 0),
    }


def warp_and_mask(source: Any, maps: Any, motion: Any) -> Any:
    """Warps and masks all features that the inpainting network uses, and the source."""
    flow = motion["deformation"][0]

    def warp(image: Any) -> Any:
        size = image.shape[:2]
        at_size = flow if flow.shape[:2] == size else resize_align_corners(flow, *size)
        return grid_sample(image, at_size)

    masked = [
        scale_channels(warp(features[0]), mask[0, ..., 0])
        for features, mask in zip(reversed(maps), motion["occlusion_map"], strict=True)
    ]
    return masked, warp(source[0])
