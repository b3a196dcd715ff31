"""The inputs behind tests/golden/training_*.npz, for the generator and for the tests. NumPy only.

The steps are computed in float64. In float32 not even the official code agrees with itself there: a
relu or an absolute value that changes side by rounding moves the gradient of the perceptual loss
by 1e-2 of its norm, and since Adam makes a whole step of the smallest gradient, the gradients of
the third step have nothing in common any more. In float64 nothing changes side, and what is
compared is what is computed.
"""

from typing import Any, NamedTuple

import numpy as np

from tests.helpers.golden_cases import pictures
from tests.helpers.procedural import uniform

BATCH, SIZE, VGG19_SEED = 2, 128, 0
# The deviations of the random splines, and the grid they stand on: the official values.
SIGMA_AFFINE, SIGMA_TPS, POINTS_TPS = 0.05, 0.005, 5


class TrainingCase(NamedTuple):
    """Steps of the official training loop, each in the next epoch.

    Attributes:
      model_params: the official YAML's.
      train_params: the fields that differ from the official `train_params`.
      first_epoch: epoch of the first step.
      steps: number of steps.
      seed: seed of weights and inputs.
    """

    model_params: dict[str, Any]
    train_params: dict[str, Any]
    first_epoch: int
    steps: int = 3
    seed: int = 0


def official_params(*, bg: bool = True, multi_mask: bool = True) -> dict[str, Any]:
    """Networks with all parts and few channels, but for the ResNets, whose size is fixed."""
    return {
        "common_params": {"num_tps": 4, "num_channels": 3, "bg": bg, "multi_mask": multi_mask},
        "generator_params": {"block_expansion": 8, "max_features": 32, "num_down_blocks": 3},
        "dense_motion_params": {
            "block_expansion": 8,
            "max_features": 32,
            "num_blocks": 4,
            "scale_factor": 0.25,
        },
        "avd_network_params": {"id_bottle_size": 16, "pose_bottle_size": 16},
    }


def model_params(*, bg: bool = True, multi_mask: bool = True) -> dict[str, Any]:
    """`official_params` with shallower networks, to compile in less time.

    There is one block in each layer of the ResNets. torchvision's takes such a number; the official
    code always asks it for two. Four masks need three halvings.
    """
    params = official_params(bg=bg, multi_mask=multi_mask)
    return {
        **params,
        "generator_params": {
            **params["generator_params"],
            "num_down_blocks": 3 if multi_mask else 1,
        },
        "dense_motion_params": {**params["dense_motion_params"], "num_blocks": 2},
        "kp_detector_params": {"blocks": 1},
        "bg_predictor_params": {"blocks": 1},
    }


def train_params(case: TrainingCase) -> dict[str, Any]:
    """The official YAML's `train_params`: vox's, but for what the case says."""
    return {
        "num_epochs": 100,
        "num_repeats": 1,
        "epoch_milestones": [70, 90],
        "lr_generator": 2.0e-4,
        "batch_size": BATCH,
        "scales": [1, 0.5, 0.25, 0.125],
        "dataloader_workers": 0,
        "checkpoint_freq": 50,
        "dropout_epoch": 35,
        "dropout_maxp": 0.3,
        "dropout_startp": 0.1,
        "dropout_inc_epoch": 10,
        "bg_start": 10,
        "transform_params": {
            "sigma_affine": SIGMA_AFFINE,
            "sigma_tps": SIGMA_TPS,
            "points_tps": POINTS_TPS,
        },
        "loss_weights": {
            "perceptual": [10, 10, 10, 10, 10],
            "equivariance_value": 10,
            "warp_loss": 10,
            "bg": 10,
        },
        **case.train_params,
    }


# Two of the four scales, so that the tests' steps compile in half the time; "losses" has all four.
_SCALES = [0.25, 0.125]
# So heavy that the largest gradient of every network is above 10: those that are to be scaled
# down are, and the inpainting network's, which is not to be, would show it.
_WITH_BACKGROUND = {
    "epoch_milestones": [9, 90],
    "scales": _SCALES,
    "loss_weights": {
        "perceptual": [300, 225, 150, 150, 150],
        "equivariance_value": 150,
        "warp_loss": 150,
        "bg": 150,
    },
}
CASES = {
    # Background and dropout; the rate has fallen before.
    "full": TrainingCase(model_params(), _WITH_BACKGROUND, first_epoch=12),
    # The rate falls with the second step, the background predictor begins with the third.
    "early": TrainingCase(model_params(), _WITH_BACKGROUND, first_epoch=8, seed=1),
    # A plain softmax and a single mask, no background predictor; the rate falls with the second.
    # The official code has no warp loss for a single mask: it asks for four.
    "late": TrainingCase(
        model_params(bg=False, multi_mask=False),
        {
            "scales": _SCALES,
            "loss_weights": {
                "perceptual": [10, 10, 10, 10, 10],
                "equivariance_value": 10,
                "warp_loss": 0,
                "bg": 10,
            },
        },
        first_epoch=69,
        seed=5,
    ),
    # The official settings, for the losses in float32.
    "losses": TrainingCase(official_params(), {}, first_epoch=12, steps=1),
}
TRAJECTORIES = ("full", "early", "late")


class Inputs(NamedTuple):
    """What a step takes.

    Attributes:
      source: [B, H, W, 3] float32 in [0, 1].
      driving: [B, H, W, 3] float32 in [0, 1].
      affine_noise: [B, 2, 3], added to the identity: the affine part of the random splines.
      spline_weights: [B, 25, 1].
      kept_tps: [B, K] bool, or None where nothing is dropped.
    """

    source: np.ndarray
    driving: np.ndarray
    affine_noise: np.ndarray
    spline_weights: np.ndarray
    kept_tps: np.ndarray | None


def inputs(case: TrainingCase, step: int) -> Inputs:
    """The inputs of a step, counted from 0."""
    key, spread = f"training/{case.seed}/{step}", 3**0.5
    splines = case.model_params["common_params"]["num_tps"]
    dropout = case.first_epoch + step < train_params(case)["dropout_epoch"]
    affine, weights = spread * SIGMA_AFFINE, spread * SIGMA_TPS
    return Inputs(
        pictures(f"{key}/source", BATCH, SIZE, SIZE),
        pictures(f"{key}/driving", BATCH, SIZE, SIZE, time=0.3),
        uniform(f"{key}/affine", (BATCH, 2, 3), -affine, affine),
        uniform(f"{key}/weights", (BATCH, POINTS_TPS**2, 1), -weights, weights),
        uniform(f"{key}/kept", (BATCH, splines), 0, 1) > 0.3 if dropout else None,
    )


# The official loop ends an epoch with a picture of six samples.
AVD_BATCH, AVD_STEPS, AVD_SIZE, AVD_SEED = 6, 3, 64, 3
AVD_MODEL_PARAMS = model_params()


def train_avd_params() -> dict[str, Any]:
    """The official YAML's `train_avd_params`, with a milestone at the first epoch's end."""
    return {
        "num_epochs": AVD_STEPS,
        "num_repeats": 1,
        "batch_size": AVD_BATCH,
        "dataloader_workers": 0,
        "checkpoint_freq": 10,
        "epoch_milestones": [1],
        "lr": 1.0e-3,
        "lambda_shift": 1,
        "lambda_affine": 1,
        "random_scale": 0.25,
    }


def avd_inputs(step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Source and driving pictures [B, H, W, 3], and draws [B, 2] in (0, 1) for the scale."""
    shape = (AVD_BATCH, AVD_SIZE, AVD_SIZE)
    return (
        pictures(f"avd/{step}/source", *shape),
        pictures(f"avd/{step}/driving", *shape, time=0.3),
        uniform(f"avd/{step}/scale", (AVD_BATCH, 2), 0, 1),
    )


# Epochs of the schedules that are kept: of `train`, of `train_avd`, and of the share of dropout.
RATE_EPOCHS, AVD_RATE_EPOCHS, DROPOUT_EPOCHS = 100, 200, 40
CONFIGS = ("vox", "taichi", "ted", "mgif")
AVD_MILESTONES = {"vox": (140, 180), "mgif": (70, 90)}
