"""The layout of the official checkpoints of the Thin-Plate Spline Motion Model."""

from typing import Any

import numpy as np

from tpsm_jax.checkpoints.torch.layouts.interface import Layout, ModelParams, Shapes, size_of
from tpsm_jax.ops.resample import antialias_kernel


def _constants(network: str, model_params: ModelParams) -> dict[str, np.ndarray]:
    """The anti-alias kernel [C, 1, k, k] of the dense motion network."""
    scale = model_params["dense_motion_params"]["scale_factor"]
    if network != "dense_motion_network" or scale == 1:
        return {}
    channels = model_params["common_params"]["num_channels"]
    return {"down.weight": np.tile(antialias_kernel(scale), (channels, 1, 1, 1))}


def _settings(shapes: Shapes, model_params: ModelParams) -> dict[str, tuple[Any, Any]]:
    common, motion = model_params["common_params"], model_params["dense_motion_params"]
    coordinates = size_of(shapes, "kp_detector", "fg_encoder.fc.bias")
    kernel = size_of(shapes, "dense_motion_network", "down.weight", 3)
    dense_motion = shapes["dense_motion_network"]
    blocks = [key for key in dense_motion if "encoder.down_blocks." in key]
    settings = {
        # Each spline has 5 points of 2 coordinates.
        "num_tps": (coordinates and coordinates // 10, common["num_tps"]),
        "num_channels": (
            size_of(shapes, "inpainting_network", "final.bias"),
            common["num_channels"],
        ),
        "multi_mask": ("occlusion.1.bias" in dense_motion, common["multi_mask"]),
        # The kernel has 4 (1/s - 1) + 1 taps.
        "scale_factor": (kernel and 4 / (kernel + 3), motion["scale_factor"]),
        "num_blocks of dense_motion_params": (
            len({key.split("down_blocks.")[1].split(".")[0] for key in blocks}),
            motion["num_blocks"],
        ),
        "block_expansion of generator_params": (
            size_of(shapes, "inpainting_network", "first.conv.bias"),
            model_params["generator_params"]["block_expansion"],
        ),
    }
    for name in ("id", "pose"):
        setting = f"{name}_bottle_size"
        settings[setting] = (
            size_of(shapes, "avd_network", f"{name}_encoder.9.bias"),
            model_params["avd_network_params"][setting],
        )
    return settings


TPSM = Layout(
    constants=_constants,
    settings=_settings,
    training_state=("optimizer", "optimizer_bg_predictor", "optimizer_avd"),
)
