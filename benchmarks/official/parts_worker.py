"""The official code's parts of a frame or a training step, timed on demand; see parts.py beside.

Needs torch and a checkout of the official code, and of this project nothing but these workers.
Reads "number of the part, runs" a line from the standard input, and answers with the seconds.
"""

import argparse
import sys
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
import yaml

from benchmarks.official.animation_worker import define_missing_operators
from benchmarks.official.ops_worker import answer_with_seconds
from benchmarks.official.training_worker import DEVICE, build_networks

Runs = dict[str, Callable[[], Any]]


def main() -> None:
    """Says the versions, then runs what it is asked to until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", required=True, help="the checkout")
    parser.add_argument("--config", required=True, help="YAML of the official code")
    parser.add_argument("--size", type=int, nargs=2, required=True, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--training", action="store_true")
    parser.add_argument("--parts", nargs="+", required=True, help="by name, in order")
    args = parser.parse_args()
    sys.path.insert(0, args.reference)
    define_missing_operators()
    with open(args.config) as file:
        config = yaml.safe_load(file)
    networks = {
        name: network.to(DEVICE).train(args.training)
        for name, network in build_networks(config["model_params"]).items()
    }
    noise = np.random.default_rng(0).random((2, 1, 3, *args.size), np.float32)
    pictures = [torch.from_numpy(picture).to(DEVICE) for picture in noise]
    make = training_parts if args.training else frame_parts
    runs = make(networks, *pictures, config["train_params"])
    answer_with_seconds([runs[part] for part in args.parts])


def frame_parts(
    networks: dict[str, torch.nn.Module], source: torch.Tensor, driving: torch.Tensor, _: Any
) -> Runs:
    """As the official demo computes them; it encodes the source anew for each frame."""
    detector, dense_motion, inpainting = (
        networks[name] for name in ("kp_detector", "dense_motion_network", "inpainting_network")
    )

    def move(kp_driving: Any, kp_source: Any) -> Any:
        return dense_motion(source, kp_driving, kp_source, bg_param=None, dropout_flag=False)

    def draw() -> torch.Tensor:
        small = dense_motion.down(source)
        heatmaps = dense_motion.create_heatmap_representations(small, kp_driving, kp_source)
        warps = dense_motion.create_transformations(small, kp_driving, kp_source, None)
        deformed = dense_motion.create_deformed_source_image(small, warps)
        return torch.cat([heatmaps, deformed.flatten(1, 2)], dim=1)

    def encode() -> list[torch.Tensor]:
        maps = [inpainting.first(source)]
        for block in inpainting.down_blocks:
            maps.append(block(maps[-1]))
        return maps

    def warp_and_mask() -> Any:
        """Twice, as the official network does, but for the picture."""
        flow, masks = motion["deformation"], motion["occlusion_map"]
        warped = [
            inpainting.occlude_input(inpainting.deform_input(features, flow), mask)
            for features, mask in zip(reversed(maps), masks, strict=True)
            for _ in range(2)
        ]
        return warped, inpainting.deform_input(source, flow)

    def frame() -> Any:
        return inpainting(source, move(detector(driving), kp_source))["prediction"]

    with torch.no_grad():
        kp_source, kp_driving = detector(source), detector(driving)
        motion, drawn, maps = move(kp_driving, kp_source), draw(), encode()
    runs: Runs = {
        "keypoint detector": lambda: detector(driving),
        "dense motion": lambda: move(kp_driving, kp_source),
        "  splines, warps, heatmaps": draw,
        "  hourglass": lambda: dense_motion.hourglass(drawn, mode=1),
        "  warps and masks": warp_and_mask,
        "inpainting encoder and decoder": lambda: inpainting(source, motion),
        "detector and encoder of a source": lambda: (detector(source), encode()),
        "frame, whole": frame,
    }
    return {name: torch.no_grad()(run) for name, run in runs.items()}


def training_parts(
    networks: dict[str, torch.nn.Module],
    source: torch.Tensor,
    driving: torch.Tensor,
    settings: dict[str, Any],
) -> Runs:
    """As the official training step computes them, each with its gradient."""
    detector, dense_motion, inpainting = (
        networks[name] for name in ("kp_detector", "dense_motion_network", "inpainting_network")
    )
    predictor = networks.get("bg_predictor")

    def constant(values: Any) -> Any:
        """What another part gives, to be differentiated to."""
        if isinstance(values, dict):
            return {key: constant(value) for key, value in values.items()}
        if isinstance(values, (list, tuple)):
            return [constant(value) for value in values]
        return None if values is None else values.detach().requires_grad_()

    kp_source, kp_driving = constant(detector(source)), constant(detector(driving))
    background = constant(predictor(source, driving)) if predictor else None
    dropout = {"dropout_flag": True, "dropout_p": 0.3}
    motion = constant(dense_motion(source, kp_driving, kp_source, bg_param=background, **dropout))
    drawn = [kp_source["fg_kp"], kp_driving["fg_kp"], *([] if background is None else [background])]
    flow_and_masks = [motion["deformation"], *motion["occlusion_map"]]

    def move() -> list[torch.Tensor]:
        out = dense_motion(source, kp_driving, kp_source, bg_param=background, **dropout)
        return [out["deformation"], *out["occlusion_map"]]

    def paint() -> list[torch.Tensor]:
        out = inpainting(source, motion)
        return [out["prediction"], *out["warped_encoder_maps"]]

    runs: Runs = {
        "keypoint detector": gradient(lambda: [detector(driving)["fg_kp"]], detector),
        "dense motion": gradient(move, dense_motion, *drawn),
        "inpainting": gradient(paint, inpainting, *flow_and_masks),
        "driving features": lambda: inpainting.get_encode(driving, motion["occlusion_map"]),
        **loss_parts(inpainting, source, driving, settings),
        "Adam": adam(networks),
    }
    if predictor:
        runs["background predictor"] = gradient(lambda: [predictor(source, driving)], predictor)
    return runs


def gradient(
    function: Callable[[], list[torch.Tensor]], network: torch.nn.Module, *inputs: torch.Tensor
) -> Callable[[], Any]:
    """A network's pass, and its gradient to its weights and to what other parts gave it."""
    wanted = [*network.parameters(), *inputs]

    def run() -> Any:
        out = function()
        given = [torch.ones_like(tensor) for tensor in out]
        return torch.autograd.grad(out, wanted, given, allow_unused=True)

    return run


def loss_parts(
    inpainting: torch.nn.Module,
    source: torch.Tensor,
    driving: torch.Tensor,
    settings: dict[str, Any],
) -> Runs:
    """The perceptual loss, and the picture of the equivariance loss."""
    from modules import model
    from modules.util import TPS

    original = model.models.vgg19
    with mock.patch.object(model.models, "vgg19", return_value=original(weights=None)):
        vgg = model.Vgg19().to(DEVICE)
    pyramid = model.ImagePyramide(settings["scales"], inpainting.num_channels).to(DEVICE)
    prediction = source.clone().requires_grad_()
    weights = settings["loss_weights"]["perceptual"]

    def loss() -> Any:
        ours, real = pyramid(prediction), pyramid(driving)
        total = torch.zeros((), device=DEVICE)
        for scale in settings["scales"]:
            key = f"prediction_{scale}"
            for weight, a, b in zip(weights, vgg(ours[key]), vgg(real[key]), strict=True):
                total = total + weight * (a - b.detach()).abs().mean()
        return torch.autograd.grad(total, prediction)

    def transform() -> torch.Tensor:
        spline = TPS("random", 1, **settings["transform_params"])
        grid = spline.transform_frame(driving)
        return F.grid_sample(driving, grid, padding_mode="reflection", align_corners=True)

    return {
        "perceptual loss": loss,
        "  VGG-19 of the driving picture": lambda: [vgg(x) for x in pyramid(driving).values()],
        "transformed picture": transform,
    }


def adam(networks: dict[str, torch.nn.Module]) -> Callable[[], Any]:
    """A step of the optimiser for all networks, on weights of their own."""
    weights = [p.detach().clone() for network in networks.values() for p in network.parameters()]
    for tensor in weights:
        tensor.requires_grad_()
        tensor.grad = torch.ones_like(tensor)
    return torch.optim.Adam(weights, lr=2e-4, betas=(0.5, 0.999), weight_decay=1e-4).step


if __name__ == "__main__":
    main()
