"""Times the official code's parts of a frame or a step; benchmarks/parts.py starts it.

Needs torch and a checkout of the official code, and of this project only benchmarks/official.
Reads "number of the part, runs" from each line of standard input, and answers with the seconds.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from benchmarks.official.checkout import build_networks, read_yaml, use_checkout, worker_parser
from benchmarks.official.timing import DEVICE, answer_with_seconds

Runs = dict[str, Callable[[], Any]]


def main() -> None:
    """Prints the versions, then answers until input ends."""
    parser = worker_parser(__doc__)
    parser.add_argument("--size", type=int, nargs=2, required=True, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--training", action="store_true")
    parser.add_argument("--parts", nargs="+", required=True, help="by name, in order")
    args = parser.parse_args()
    use_checkout(args.reference)
    config = read_yaml(args.config)
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
    """The parts as the official demo computes them: it encodes the source for each frame."""
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
        """Warps and masks features twice, as the official network does, and the picture once."""
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
    """The parts as the official training step computes them, each with its gradient."""
    detector, dense_motion, inpainting = (
        networks[name] for name in ("kp_detector", "dense_motion_network", "inpainting_network")
    )
    predictor = networks.get("bg_predictor")

    def constant(values: Any) -> Any:
        """Makes another part's outputs leaves to differentiate with respect to."""
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
        **whole_losses(networks, source, driving, settings),
        "Adam": adam(networks),
    }
    if predictor:
        runs["background predictor"] = gradient(lambda: [predictor(source, driving)], predictor)
    return runs


def gradient(
    function: Callable[[], list[torch.Tensor]], network: torch.nn.Module, *inputs: torch.Tensor
) -> Callable[[], Any]:
    """A network's pass, with the gradient with respect to its weights and its `inputs`."""
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
    """The perceptual loss, and the transformed picture of the equivariance loss."""
    from modules import model
    from modules.util import TPS

    with random_vgg19():
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


def whole_losses(
    networks: dict[str, torch.nn.Module],
    source: torch.Tensor,
    driving: torch.Tensor,
    settings: dict[str, Any],
) -> Runs:
    """All losses of a step, without and with the gradient with respect to all weights."""
    from modules import model

    with random_vgg19():
        full = model.GeneratorFullModel(
            networks["kp_detector"],
            networks.get("bg_predictor"),
            networks["dense_motion_network"],
            networks["inpainting_network"],
            settings | {"bg_start": 0},
        ).to(DEVICE)
    weights = [p for network in networks.values() for p in network.parameters()]

    def losses() -> torch.Tensor:
        terms, _ = full({"source": source, "driving": driving}, 0)
        return torch.stack([term.mean() for term in terms.values()]).sum()

    return {
        "all losses": torch.no_grad()(losses),
        "all losses and gradient": lambda: torch.autograd.grad(
            losses(), weights, allow_unused=True
        ),
    }


@contextlib.contextmanager
def random_vgg19() -> Iterator[None]:
    """Gives VGG-19 random weights while the official code builds it, so nothing is downloaded."""
    from modules import model

    original = model.models.vgg19
    with mock.patch.object(model.models, "vgg19", return_value=original(weights=None)):
        yield


def adam(networks: dict[str, torch.nn.Module]) -> Callable[[], Any]:
    """A step of the optimizer for all networks, on copies of their weights."""
    weights = [p.detach().clone() for network in networks.values() for p in network.parameters()]
    for tensor in weights:
        tensor.requires_grad_()
        tensor.grad = torch.ones_like(tensor)
    return torch.optim.Adam(weights, lr=2e-4, betas=(0.5, 0.999), weight_decay=1e-4).step


if __name__ == "__main__":
    main()
