"""The official PyTorch code, animating as its demo.py does, on demand; see animate.py beside.

Needs torch and a checkout of the official code, and nothing of this project. Reads a number of
frames a line from the standard input, animates as many, and answers with the seconds it took.
"""

import argparse
import sys
import time

import numpy as np
import torch
import yaml

_library = torch.library.Library("torchvision", "FRAGMENT")  # what it defines goes with it


def main() -> None:
    """Loads the networks, says so with the versions, then answers until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", required=True, help="the checkout")
    parser.add_argument("--config", required=True, help="YAML of the official code")
    parser.add_argument("--torch_checkpoint", help="x.pth.tar; random weights without")
    parser.add_argument("--size", type=int, nargs=2, required=True, metavar=("HEIGHT", "WIDTH"))
    args = parser.parse_args()
    sys.path.insert(0, args.reference)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    networks = load_networks(args.config, args.torch_checkpoint, device)
    source, driving = np.random.default_rng(0).random((2, *args.size, 3), np.float32)
    animate(networks, source, driving, 1, device)
    print(f"torch {torch.__version__} on {device}, {torch.get_num_threads()} threads", flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        animate(networks, source, driving, int(line), device)
        print(time.perf_counter() - start, flush=True)


def load_networks(
    config_path: str, checkpoint: str | None, device: torch.device
) -> tuple[torch.nn.Module, torch.nn.Module, torch.nn.Module]:
    """The detector, the dense motion and the inpainting network, for evaluation."""
    define_missing_operators()
    from modules.dense_motion import DenseMotionNetwork
    from modules.inpainting_network import InpaintingNetwork
    from modules.keypoint_detector import KPDetector

    with open(config_path) as file:
        params = yaml.safe_load(file)["model_params"]
    common = params["common_params"]
    networks = {
        "kp_detector": KPDetector(**common),
        "dense_motion_network": DenseMotionNetwork(**common, **params["dense_motion_params"]),
        "inpainting_network": InpaintingNetwork(**params["generator_params"], **common),
    }
    if checkpoint:
        state = torch.load(checkpoint, map_location=device)
        for name, network in networks.items():
            network.load_state_dict(state[name])
    detector, dense_motion, inpainting = (net.to(device).eval() for net in networks.values())
    return detector, dense_motion, inpainting


def define_missing_operators() -> None:
    """Two operators that torchvision's import asks for, and lacks without its compiled part."""
    for operator in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operator):
            _library.define(
                f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )


@torch.no_grad()
def animate(
    networks: tuple[torch.nn.Module, torch.nn.Module, torch.nn.Module],
    source_image: np.ndarray,
    driving_image: np.ndarray,
    count: int,
    device: torch.device,
) -> None:
    """The demo's loop in mode 'standard', which is its cheapest."""
    detector, dense_motion_network, inpainting = networks
    to_tensor = lambda image: torch.tensor(image[None]).permute(0, 3, 1, 2).to(device)  # noqa: E731
    source = to_tensor(source_image)
    kp_source = detector(source)
    for _ in range(count):
        dense_motion = dense_motion_network(
            source_image=source,
            kp_driving=detector(to_tensor(driving_image)),
            kp_source=kp_source,
            bg_param=None,
            dropout_flag=False,
        )
        prediction = inpainting(source, dense_motion)["prediction"]
        np.transpose(prediction.data.cpu().numpy(), [0, 2, 3, 1])


if __name__ == "__main__":
    main()
