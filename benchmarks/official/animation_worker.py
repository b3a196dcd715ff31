"""The official PyTorch code, animating on demand; see animate.py beside.

Needs torch and a checkout of the official code, and nothing of this project. Reads a number of
frames a line from the standard input, a multiple of the batch size, animates as many, and answers
"seconds, of the processors": the second is the time of all cores together.
"""

import argparse
import importlib
import sys
import time

import numpy as np
import torch
import yaml

from benchmarks.official.variants import VARIANTS, eager

_library = torch.library.Library("torchvision", "FRAGMENT")  # what it defines goes with it


def main() -> None:
    """Loads the networks, says how they run and how exactly, then answers until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", required=True, help="the checkout")
    parser.add_argument("--config", required=True, help="YAML of the official code")
    parser.add_argument("--torch_checkpoint", help="x.pth.tar; random weights without")
    parser.add_argument("--size", type=int, nargs=2, required=True, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--variant", choices=VARIANTS, required=True)
    parser.add_argument("--batch_size", type=int, default=1)
    args = parser.parse_args()
    sys.path.insert(0, args.reference)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    networks = load_networks(args.config, args.torch_checkpoint, device)
    source, driving = smooth_pictures(*args.size)
    driving = np.repeat(driving[None], args.batch_size, axis=0)
    expected = eager(networks, source)[0](driving)
    animate, how = VARIANTS[args.variant](networks, source)
    difference = np.abs(animate(driving) - expected).max()
    print(f"{how}; largest difference from eager {difference:.1e}", flush=True)
    for line in sys.stdin:
        start, of_processors = time.perf_counter(), time.process_time()
        for _ in range(int(line) // args.batch_size):
            animate(driving)
        print(time.perf_counter() - start, time.process_time() - of_processors, flush=True)


def smooth_pictures(height: int, width: int) -> np.ndarray:
    """A source and a driving picture, [2, height, width, 3] float32 in [0, 1]."""
    coarse = torch.from_numpy(np.random.default_rng(0).random((2, 3, 8, 8), np.float32))
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return fine.permute(0, 2, 3, 1).numpy()


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
    """Has torchvision imported, if need be without its compiled part, of which it asks for two."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        for operator in ("nms", "qnms"):
            _library.define(
                f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )


if __name__ == "__main__":
    main()
