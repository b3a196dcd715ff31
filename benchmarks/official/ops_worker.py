"""Times the official code's operations, each alone, on demand; benchmarks/ops.py starts it.

Needs torch and a checkout of the official code, and of this project only benchmarks/official and
common/op_cases.py. Reads "number of the case, runs" from each line of standard input, and answers
with the seconds of these runs.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from benchmarks.common.op_cases import CASES, Case, flow, keypoints, noise
from benchmarks.official.checkout import use_checkout, worker_parser
from benchmarks.official.timing import DEVICE, answer_with_seconds


def main() -> None:
    """Prints the versions, then answers until input ends."""
    use_checkout(worker_parser(__doc__, config=False).parse_args().reference)
    answer_with_seconds([run_of(case) for case in CASES])


def run_of(case: Case) -> Callable[[], Any]:
    """The operation on its arguments, with its gradient if the case asks for it."""
    function, arguments = make(case)
    if not case.gradient:

        def run() -> Any:
            with torch.no_grad():
                return function(*arguments)

        return run
    wanted = {"all": arguments, "picture": arguments[:1], "grid": arguments[1:]}[case.gradient]
    for tensor in wanted:
        tensor.requires_grad_()
    with torch.no_grad():
        given = torch.ones_like(function(*arguments))
    return lambda: torch.autograd.grad(function(*arguments), wanted, given)


def make(case: Case) -> tuple[Callable[..., torch.Tensor], list[torch.Tensor]]:
    """The operation, and its arguments, which it may be differentiated with respect to."""
    from modules.util import TPS, AntiAliasInterpolation2d

    side, channels = case.side, case.channels
    picture = tensor(noise(0, 1, channels, side, side))
    if case.kind == "grid sample":
        return sample, [picture, tensor(flow(side))[None]]
    if case.kind == "11 warps of the source":
        return (
            lambda image, grids: sample(image.repeat(11, 1, 1, 1), grids),
            [picture, tensor(flow(side)).repeat(11, 1, 1, 1)],
        )
    if case.kind == "10 splines, fit and grid":

        def splines(driving: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
            return TPS("kp", 1, kp_1=driving, kp_2=source).transform_frame(picture)

        return splines, [tensor(keypoints(seed))[None] for seed in range(2)]
    if case.kind == "random spline, mirrored warp":

        def transform(image: torch.Tensor) -> torch.Tensor:
            spline = TPS("random", 1, sigma_affine=0.05, sigma_tps=0.005, points_tps=5)
            grid = spline.transform_frame(image)
            return F.grid_sample(image, grid, padding_mode="reflection", align_corners=True)

        return transform, [picture]
    if case.kind == "anti-alias":
        return AntiAliasInterpolation2d(channels, float(case.detail)).to(DEVICE), [picture]
    if case.kind == "softmax, weighted grids":

        def blend(logits: torch.Tensor, grids: torch.Tensor) -> torch.Tensor:
            weights = F.softmax(logits, dim=1).unsqueeze(2)
            return (grids.permute(0, 1, 4, 2, 3) * weights).sum(dim=1).permute(0, 2, 3, 1)

        return blend, [picture, tensor(flow(side)).repeat(1, channels, 1, 1, 1)]
    return make_layer(case, picture)


def make_layer(
    case: Case, picture: torch.Tensor
) -> tuple[Callable[..., torch.Tensor], list[torch.Tensor]]:
    """A layer with weights, and its arguments."""
    if case.kind == "batch norm, relu":
        layer = torch.nn.BatchNorm2d(case.channels).train(case.detail == "training")
    elif case.kind == "instance norm, relu":
        layer = torch.nn.InstanceNorm2d(case.channels, affine=True)
    else:
        size = 7 if case.kind == "7x7 conv" else 3
        layer = torch.nn.Conv2d(case.channels, case.features, size, padding=size // 2)
    layer = layer.to(DEVICE)
    arguments = [picture, *layer.parameters()]
    if "norm" in case.kind:
        return lambda image, *_: F.relu(layer(image)), arguments
    if case.kind == "nearest x2, 3x3 conv":
        return lambda image, *_: layer(F.interpolate(image, scale_factor=2)), arguments
    return lambda image, *_: layer(image), arguments


def sample(image: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Warps as the official code does."""
    return F.grid_sample(image, grid, align_corners=True)


def tensor(array: np.ndarray) -> torch.Tensor:
    """Copies an array to the device."""
    return torch.from_numpy(array).to(DEVICE)


if __name__ == "__main__":
    main()
