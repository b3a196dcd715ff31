"""Reconstructs clips with the official PyTorch code; benchmarks/evaluate.py starts it.

Needs torch and a checkout of the official code, and of this project only benchmarks/official. It
runs the official `reconstruction` as run.py does, with the official data set and the pictures that
it saves. Reads "0" or "1" from each line of standard input: without or with the sheets that it
draws for each frame, and throws away. Goes through all test clips, and answers "seconds, L1".
"""

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

from benchmarks.official.checkout import build_networks, read_yaml, use_checkout, worker_parser
from benchmarks.official.timing import DEVICE


def main() -> None:
    """Loads the networks, prints the versions, then answers until input ends."""
    parser = worker_parser(__doc__)
    parser.add_argument("--torch_checkpoint", required=True, help="x.pth.tar")
    parser.add_argument("--data", required=True, help="folder with train/ and test/")
    args = parser.parse_args()
    use_checkout(args.reference)
    config = read_yaml(args.config)
    networks = build_networks(config["model_params"], args.torch_checkpoint)
    for network in networks.values():
        network.to(DEVICE)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, eager", flush=True)
    for line in sys.stdin:
        seconds, l1 = reconstruct(networks, config, args.data, sheets=line.strip() == "1")
        print(seconds, l1, flush=True)


def reconstruct(
    networks: dict[str, torch.nn.Module], config: dict[str, Any], data: str, *, sheets: bool
) -> tuple[float, float]:
    """Reconstructs all clips; returns seconds, and the L1 that the official code prints."""
    skimage.draw.circle = circle  # the official logger imports it
    import reconstruction as official
    from frames_dataset import FramesDataset

    printed = io.StringIO()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(contextlib.redirect_stdout(printed))
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
    return seconds, float(printed.getvalue().split("Reconstruction loss:")[1])


def circle(
    row: float, column: float, radius: float, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Stands in for scikit-image's former function, now called `disk`."""
    return skimage.draw.disk((row, column), radius, shape=shape)


if __name__ == "__main__":
    main()
