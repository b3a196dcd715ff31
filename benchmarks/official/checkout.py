"""Imports the official code from its checkout, and builds its networks."""

import argparse
import importlib
import sys
from typing import Any

import torch
import yaml

_library = torch.library.Library("torchvision", "FRAGMENT")  # its definitions live as long as it


def worker_parser(description: str | None, *, config: bool = True) -> argparse.ArgumentParser:
    """A parser with the flags of every worker: --reference, and --config unless left out."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--reference", required=True, help="the checkout")
    if config:
        parser.add_argument("--config", required=True, help="YAML file of the official code")
    return parser


def use_checkout(path: str) -> None:
    """Makes the checkout's modules importable.

    They come first: the project's root, where workers are started, has its own train.py, animate.py
    and demo.py. Torchvision is imported even without its compiled part, of which it needs two
    operators to be defined.

    Args:
      path: the folder that holds train.py and modules/.
    """
    sys.path.insert(0, path)
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        for operator in ("nms", "qnms"):
            _library.define(
                f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )


def read_yaml(path: str) -> dict[str, Any]:
    """Reads a config of the official code."""
    with open(path) as file:
        return yaml.safe_load(file)


def build_networks(
    model_params: dict[str, Any], checkpoint: str | None = None, *, background: bool = True
) -> dict[str, torch.nn.Module]:
    """The networks that are trained, in training mode, on the CPU.

    Args:
      model_params: the section of the YAML file.
      checkpoint: x.pth.tar with their weights; they keep their own initial weights without it.
      background: whether the background predictor is among them, if the config has it.
    """
    from modules.bg_motion_predictor import BGMotionPredictor
    from modules.dense_motion import DenseMotionNetwork
    from modules.inpainting_network import InpaintingNetwork
    from modules.keypoint_detector import KPDetector

    common = model_params["common_params"]
    networks = {
        "kp_detector": KPDetector(**common),
        "dense_motion_network": DenseMotionNetwork(**common, **model_params["dense_motion_params"]),
        "inpainting_network": InpaintingNetwork(**model_params["generator_params"], **common),
    }
    if common["bg"] and background:
        networks["bg_predictor"] = BGMotionPredictor()
    if checkpoint:
        state = torch.load(checkpoint, map_location="cpu")
        for name, network in networks.items():
            network.load_state_dict(state[name])
    return networks
