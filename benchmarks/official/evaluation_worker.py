"""The official PyTorch code, reconstructing clips as its run.py does; see evaluate.py beside.

Needs torch and a checkout of the official code, and nothing of this project. It runs the official
`reconstruction` itself, with the official data set and the pictures that it saves. Reads "0" or
"1" a line from the standard input: without or with the sheets that it draws for each frame, and
throws away. Goes through all test clips, and answers "seconds, L1".
"""

import argparse
import contextlib
import io
import sys
import tempfile
import time
from typing import Any
from unittest import mock

import numpy as np
import skimage.draw
import torch
import yaml

from benchmarks.official.animation_worker import define_missing_operators
from benchmarks.official.training_worker import build_networks


def main() -> None:
    """Loads the networks, says the versions, then answers until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", required=True, help="the checkout")
    parser.add_argument("--config", required=True, help="YAML of the official code")
    parser.add_argument("--torch_checkpoint", required=True, help="x.pth.tar")
    parser.add_argument("--data", required=True, help="folder with train/ and test/")
    args = parser.parse_args()
    sys.path.insert(0, args.reference)
    define_missing_operators()
    with open(args.config) as file:
        config = yaml.safe_load(file)
    networks = build_networks(config["model_params"])
    state = torch.load(args.torch_checkpoint, map_location="cpu")
    for name, network in networks.items():
        network.load_state_dict(state[name])
        if torch.cuda.is_available():
            network.cuda()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, eager", flush=True)
    for line in sys.stdin:
        seconds, l1 = reconstruct(networks, config, args.data, sheets=line.strip() == "1")
        print(seconds, l1, flush=True)


def reconstruct(
    networks: dict[str, torch.nn.Module], config: dict[str, Any], data: str, *, sheets: bool
) -> tuple[float, float]:
    """Seconds, and the L1 that the official code prints."""
    skimage.draw.circle = circle  # which the official logger asks for when it is imported
    import reconstruction as official
    from frames_dataset import FramesDataset

    said = io.StringIO()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(contextlib.redirect_stdout(said))
        stack.enter_context(mock.patch.object(official.Logger, "load_cpk"))  # they are loaded
        if not sheets:
            stack.enter_context(mock.patch.object(official, "Visualizer"))
        dataset = FramesDataset(is_train=False, **config["dataset_params"] | {"root_dir": data})
        start = time.perf_counter()
        official.reconstruction(
            config,
            networks["inpainting_network"],
            networks["kp_detector"],
            networks.get("bg_predictor"),
            networks["dense_motion_network"],
            checkpoint="",
            log_dir=folder,
            dataset=dataset,
        )
        seconds = time.perf_counter() - start
    return seconds, float(said.getvalue().split("Reconstruction loss:")[1])


def circle(
    row: float, column: float, radius: float, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """scikit-image's function of that name, which has become `disk`."""
    return skimage.draw.disk((row, column), radius, shape=shape)


if __name__ == "__main__":
    main()
