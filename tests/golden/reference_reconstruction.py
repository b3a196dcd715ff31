"""The official `reconstruction`, run as it is, over clips from memory."""

import contextlib
import importlib
import io
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image


def reconstruct(
    networks: Mapping[str, torch.nn.Module], clips: Mapping[str, np.ndarray]
) -> tuple[float, dict[str, np.ndarray]]:
    """Its loss and its pictures.

    Args:
      networks: networks of `reference.build_networks`, with weights.
      clips: name -> [T, H, W, 3] float32 in [0, 1].

    Returns:
      The loss that it prints, and name -> the uint8 picture [H, T W, 3] that it writes.
    """
    draw = importlib.import_module("skimage.draw")
    draw.circle = draw.disk  # which its logger imports by the name of old; never called
    module = importlib.import_module("reconstruction")

    class Nothing:
        """Its sheets call what scikit-image no longer has; its loader reads a file."""

        def __init__(self, **_: object):
            pass

        def visualize(self, **_: object) -> None:
            pass

        @staticmethod
        def load_cpk(*_: object, **__: object) -> None:
            pass

    module.Visualizer = module.Logger = Nothing
    dataset = [
        {"video": np.moveaxis(frames, -1, 0).copy(), "name": name} for name, frames in clips.items()
    ]
    said = io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.redirect_stdout(said):
            module.reconstruction(
                {"visualizer_params": {}},
                networks["inpainting_network"],
                networks["kp_detector"],
                networks.get("bg_predictor"),
                networks["dense_motion_network"],
                "loaded already",
                folder,
                dataset,
            )
        pngs = Path(folder) / "reconstruction" / "png"
        strips = {name: np.asarray(Image.open(pngs / f"{name}.png")) for name in clips}
    return float(said.getvalue().split("Reconstruction loss:")[1]), strips
