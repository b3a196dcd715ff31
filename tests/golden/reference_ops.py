"""What the official code and PyTorch make of the inputs in `golden_op_cases`."""

import importlib
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from tests.golden.reference import channels_first, channels_last, to_torch
from tests.helpers import golden_op_cases as cases

Arrays = dict[str, np.ndarray]


def all_ops(dtype: torch.dtype) -> Arrays:
    """Every operation's outputs and gradients, channels last, under the names of their cases."""
    kept: Arrays = {}
    for part in (_coordinates, _grid_sample, _resize, _downsample, _splines, _random_spline):
        kept |= part(importlib.import_module("modules.util"), dtype)
    return kept


def _coordinates(util: Any, dtype: torch.dtype) -> Arrays:
    tensor_type = torch.zeros((), dtype=dtype).type()
    keypoints = to_torch(cases.heatmap_keypoints(), dtype)[None]
    kept = {}
    for name, size in cases.GRIDS.items():
        kept[f"coordinate_grid/{name}"] = util.make_coordinate_grid(size, tensor_type).numpy()
        heatmaps = util.kp2gaussian(keypoints, size, 0.01)[0]
        kept[f"heatmaps/{name}"] = channels_last(heatmaps)
    return kept


def _grid_sample(util: Any, dtype: torch.dtype) -> Arrays:
    kept = {}
    for name, case in cases.grid_sample_cases().items():
        for mode in ("zeros", "reflection"):
            key = f"grid_sample/{mode}/{name}"
            image = channels_first(case.image[None], dtype).requires_grad_()
            grid = to_torch(case.grid[None], dtype).requires_grad_()
            out = F.grid_sample(image, grid, padding_mode=mode, align_corners=True)
            kept[key] = channels_last(out)[0]
            if name.endswith("/around"):
                weights = channels_first(cases.output_weights(key, kept[key].shape)[None], dtype)
                (out * weights).sum().backward()
                kept[f"{key}/image_gradient"] = channels_last(image.grad)[0]
                kept[f"{key}/grid_gradient"] = grid.grad[0].numpy()
    return kept


def _resize(util: Any, dtype: torch.dtype) -> Arrays:
    kept = {}
    for name, (size_in, size_out) in cases.RESIZES.items():
        image = channels_first(cases.uniform(f"resize/{name}", (1, *size_in, 2), -1, 1), dtype)
        out = F.interpolate(image, size=size_out, mode="bilinear", align_corners=True)
        kept[f"resize/{name}"] = channels_last(out)[0]
    return kept


def _downsample(util: Any, dtype: torch.dtype) -> Arrays:
    kept = {}
    for scale in cases.DOWNSAMPLE_SCALES:
        for name, size in cases.DOWNSAMPLE_SIZES.items():
            image = channels_first(cases.uniform(f"down/{name}", (1, *size, 3), 0, 1), dtype)
            # At scale 1 the official kernel is 0/0, and unused.
            down = util.AntiAliasInterpolation2d(3, scale).to(dtype)
            kept[f"downsample/{scale}/{name}"] = channels_last(down(image))[0]
            if scale != 1:
                kept[f"antialias_kernel/{scale}"] = down.weight[0, 0].numpy()
    return kept


def _splines(util: Any, dtype: torch.dtype) -> Arrays:
    kept = {}
    points = to_torch(cases.spline_points(), dtype)
    weights = to_torch(cases.output_weights("spline", tuple(points.shape)), dtype)
    for name, (control_points, targets) in cases.spline_cases().items():
        control = to_torch(control_points, dtype).requires_grad_()
        target = to_torch(targets, dtype).requires_grad_()
        spline = util.TPS("kp", 1, kp_1=control[None, None], kp_2=target[None, None])
        out = spline.warp_coordinates(points[None])[0, 0]
        (out * weights).sum().backward()
        kept[f"spline/{name}/affine"] = spline.theta[0, 0].detach().numpy()
        kept[f"spline/{name}/weights"] = spline.control_params[0, 0].detach().numpy()
        kept[f"spline/{name}/points"] = out.detach().numpy()
        kept[f"spline/{name}/control_gradient"] = control.grad.numpy()
        kept[f"spline/{name}/target_gradient"] = target.grad.numpy()
    return kept


def _random_spline(util: Any, dtype: torch.dtype) -> Arrays:
    affine, weights, points = cases.random_spline_inputs()
    spline = util.TPS("random", 1, sigma_affine=0.05, sigma_tps=0.005, points_tps=5)
    spline.theta = to_torch(affine, dtype)[None]
    spline.control_params = to_torch(weights, dtype)[None, None]
    grid = spline.transform_frame(torch.zeros(1, 3, 6, 9, dtype=dtype))[0]
    return {
        "random_spline/points": spline.warp_coordinates(to_torch(points, dtype)[None])[0].numpy(),
        "random_spline/grid": grid.numpy(),
    }
