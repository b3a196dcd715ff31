"""A model small enough for every test, with every part of the full one."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from tpsm_jax.models.registry import build_model, variable_shapes
from tpsm_jax.models.tpsm import MotionModel


def official_params(**common: Any) -> dict[str, dict[str, Any]]:
    """The official YAML's fields at a fraction of the width; `common` replaces common_params.

    The ResNets have no fields there, and so their full size.
    """
    return {
        "common_params": {
            "num_tps": 2, "num_channels": 3, "bg": True, "multi_mask": True, **common,
        },
        "generator_params": {"block_expansion": 8, "max_features": 32, "num_down_blocks": 3},
        "dense_motion_params": {
            "block_expansion": 8, "max_features": 32, "num_blocks": 5, "scale_factor": 0.25,
        },
        "avd_network_params": {"id_bottle_size": 16, "pose_bottle_size": 16},
    }  # fmt: skip


def model_params(**common: Any) -> dict[str, dict[str, Any]]:
    """`official_params` with a shallow hourglass and ResNets that are a stem and a linear layer.

    Most of a test's time goes into tracing and compiling.
    """
    return {
        **official_params(**common),
        "dense_motion_params": {
            "block_expansion": 8,
            "max_features": 32,
            "num_blocks": 2,
            "scale_factor": 0.25,
        },
        "kp_detector_params": {"width": 8, "blocks": 0},
        "bg_predictor_params": {"width": 8, "blocks": 0},
    }


def small_model(**common: Any) -> tuple[MotionModel, dict[str, Any]]:
    """The model, and variables of about the scale that `init_variables` gives.

    Drawn by NumPy: compiling the real initializers takes longer than most tests.
    """
    params = model_params(**common)
    return build_model(params), draw_variables(params)


def draw_variables(model_params: Mapping[str, Any]) -> dict[str, Any]:
    """See `small_model`."""
    rng = np.random.default_rng(0)

    def draw(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        if path[-1].key in ("scale", "var"):
            return np.ones(leaf.shape, np.float32)
        scale = 0.02 if len(leaf.shape) == 1 else (3 * np.prod(leaf.shape[:-1])) ** -0.5
        return (scale * rng.standard_normal(leaf.shape)).astype(np.float32)

    return jax.tree.map_with_path(draw, variable_shapes(model_params))


def without(variables: Mapping[str, Any], network: str) -> dict[str, Any]:
    """The variables of all other networks, in all their collections."""
    return {
        collection: {name: tree for name, tree in networks.items() if name != network}
        for collection, networks in variables.items()
    }


def pictures(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth random pictures, [count, height, width, 3] float32 in [0, 1]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j][..., None]
    waves = rng.uniform(-12, 12, (count, 2, 1, 1, 3))
    phase = rng.uniform(0, 6, (count, 1, 1, 3))
    return (0.5 + 0.5 * np.sin(waves[:, 0] * x + waves[:, 1] * y + phase)).astype(np.float32)
