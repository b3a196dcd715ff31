"""A configuration and batches small enough to compile and train within tests."""

from typing import Any

import numpy as np
from ml_collections import ConfigDict

from configs.base import get_base_config

SIZE = 32


def tiny_config(**fields: Any) -> ConfigDict:
    """Every part of the full configuration at a fraction of its size; `fields` are replaced."""
    config = get_base_config()
    config.image_size = (SIZE, SIZE)
    config.perceptual_features = "pixels"
    config.model_params = ConfigDict(
        {
            "common_params": {"num_tps": 2, "num_channels": 3, "bg": True, "multi_mask": True},
            "generator_params": {"block_expansion": 4, "max_features": 8, "num_down_blocks": 3},
            "dense_motion_params": {
                "block_expansion": 4, "max_features": 8, "num_blocks": 2, "scale_factor": 0.25,
            },
            "avd_network_params": {"id_bottle_size": 8, "pose_bottle_size": 8},
            "kp_detector_params": {"width": 4, "blocks": 0, "spread_points": True},
            "bg_predictor_params": {"width": 4, "blocks": 0},
        }
    )  # fmt: skip
    train = config.train_params
    train.batch_size = 8
    train.num_epochs = 4
    train.scales = (1, 0.5)
    train.dropout_epoch = 3
    train.dropout_startp = 0.2
    train.bg_start = 1
    train.loss_weights.perceptual = (10,)
    config.train_avd_params.batch_size = 8
    config.update(fields)
    return config


def tiny_batch(config: ConfigDict, step: int = 0) -> dict[str, Any]:
    """A batch of soft random pictures, each driving one a shifted source."""
    rng = np.random.default_rng(step)
    height, width = config.image_size
    count = config.train_params.batch_size
    y, x = np.mgrid[0:height, 0:width][..., None] / height
    waves, shift = rng.uniform(-9, 9, (2, count, 1, 1, 3)), rng.uniform(-0.1, 0.1, (count, 1, 1, 1))

    def draw(x: np.ndarray) -> np.ndarray:
        return (127.5 + 127 * np.sin(waves[0] * x + waves[1] * y)).astype(np.uint8)

    return {
        "source": draw(x[None]),
        "driving": draw(x[None] + shift),
        "name": [f"clip{step}_{row}" for row in range(count)],
    }
