"""Gradients of the official chain in evaluation mode: of keypoints whole, of parameters sampled."""

import numpy as np
import torch

from tests.golden.reference import Reference, channels_first, to_torch
from tests.helpers import golden_cases as cases

Arrays = dict[str, np.ndarray]
OUTPUTS = ("flow", "prediction")


def _weighted_sums(
    networks: dict[str, torch.nn.Module],
    case: cases.ChainCase,
    dtype: torch.dtype,
    nudge: int = 0,
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """([kp_source, kp_driving], [sum(flow * w), sum(prediction * w)]), with their graph."""
    images = cases.nudged(cases.chain_pictures(case), nudge)
    source, driving = (channels_first(image, dtype) for image in images)
    kp_source, kp_driving = (networks["kp_detector"](image) for image in (source, driving))
    background = networks["bg_predictor"](source, driving)
    motion = networks["dense_motion_network"](source, kp_driving, kp_source, background)
    prediction = networks["inpainting_network"](source, motion)["prediction"]
    outputs = (motion["deformation"], prediction.permute(0, 2, 3, 1))
    sums = []
    for name, output in zip(OUTPUTS, outputs, strict=True):
        weights = to_torch(cases.gradient_weights(name, tuple(output.shape)), dtype)
        sums.append((output * weights).sum())
    return [kp_source["fg_kp"], kp_driving["fg_kp"]], sums


def keypoint_gradients(case: cases.ChainCase, dtype: torch.dtype, nudge: int = 0) -> Arrays:
    """With respect to both keypoint sets, [B, N, 2] each.

    Args:
      case: which networks and pictures.
      dtype: to compute in.
      nudge: where not 0, the pictures are moved by about their last bit, each time another way.
    """
    networks = Reference(case.params, seed=case.seed, dtype=dtype).networks
    keypoints, sums = _weighted_sums(networks, case, dtype, nudge)
    kept = {}
    for name, total in zip(OUTPUTS, sums, strict=True):
        gradients = torch.autograd.grad(total, keypoints, retain_graph=True)
        for kind, gradient in zip(("kp_source", "kp_driving"), gradients, strict=True):
            kept[f"{name}/{kind}"] = gradient.numpy()
    return kept


def parameter_gradients(case: cases.ChainCase) -> Arrays:
    """With respect to every parameter: its norm, largest entry and a few entries.

    Returns:
      names [P]; then for "flow" and "prediction": norm [P], largest [P], samples [P, 16], all
      float32; true_norm [P], the norm in float64 (1e-10 of the others where there is no gradient
      but rounding); noise [P], float32's distance from float64 as a share of the largest entry.
    """
    gradients = {dtype: _all_gradients(case, dtype) for dtype in (torch.float32, torch.float64)}
    single, double = gradients[torch.float32], gradients[torch.float64]
    kept: Arrays = {"names": np.array(list(single["flow"]))}
    for output in OUTPUTS:
        pairs = [(single[output][name], double[output][name]) for name in single[output]]
        columns = {
            "norm": [np.linalg.norm(a.astype(np.float64)) for a, _ in pairs],
            "true_norm": [np.linalg.norm(b) for _, b in pairs],
            "largest": [np.abs(b).max() for _, b in pairs],
            "noise": [np.abs(a - b).max() / max(np.abs(b).max(), 1e-30) for a, b in pairs],
            "samples": [cases.gradient_samples(a) for a, _ in pairs],
        }
        for kind, column in columns.items():
            kept[f"{output}/{kind}"] = np.array(column, np.float32)
    return kept


def _all_gradients(case: cases.ChainCase, dtype: torch.dtype) -> dict[str, Arrays]:
    networks = Reference(case.params, seed=case.seed, dtype=dtype).networks
    _, sums = _weighted_sums(networks, case, dtype)
    parameters = {
        f"{network}.{key}": value
        for network, module in networks.items()
        for key, value in module.named_parameters()
        if network != "avd_network"
    }
    kept = {}
    for name, total in zip(OUTPUTS, sums, strict=True):
        gradients = torch.autograd.grad(
            total, list(parameters.values()), retain_graph=True, allow_unused=True
        )
        kept[name] = {
            key: np.zeros(tuple(value.shape)) if gradient is None else gradient.numpy()
            for (key, value), gradient in zip(parameters.items(), gradients, strict=True)
        }
    return kept
