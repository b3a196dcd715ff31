"""Writes tests/golden/resize_crop.npz: what the official code's resize and crop make of a pair.

Run where the official code runs (`make golden` does):
  python -m tests.golden.make_resize_crop --reference CHECKOUT
"""

import argparse
import importlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from skimage import img_as_float32, img_as_ubyte

from tests.golden.reference import open_checkout
from tests.helpers.paths import GOLDEN

# (height, width) of frames and crop; the range of scales; where in it, and where to crop, drawn.
CASES = {
    "mgif_smaller": ((24, 24), (24, 24), (0.9, 1.1), 0.1, 0.3),
    "mgif_larger": ((24, 24), (24, 24), (0.9, 1.1), 0.95, 0.8),
    "mgif_same": ((24, 24), (24, 24), (0.9, 1.1), 0.5, 0.8),
    "odd_padding": ((21, 21), (24, 24), (0.9, 1.1), 0.4, 0.5),
    "blurred": ((40, 37), (16, 14), (0.4, 0.6), 0.5, 0.99),
    "blurred_to_padding": ((40, 24), (16, 16), (0.3, 0.5), 0.3, 0.6),
    "wide": ((16, 30), (16, 16), None, 0.0, 0.6),
    "tall": ((30, 16), (16, 16), None, 0.0, 0.6),
    "padded_to_height": ((13, 30), (16, 16), None, 0.0, 0.6),
    "larger": ((30, 26), (16, 16), None, 0.0, 0.6),
    "last_position": ((30, 26), (16, 16), None, 0.0, 1 - 2.0**-53),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=Path, required=True, help="the official checkout")
    open_checkout(parser.parse_args().reference)
    augmentation = importlib.import_module("augmentation")

    rng = np.random.default_rng(0)
    arrays = {}
    for name, (size, crop, ratio, scale, position) in CASES.items():
        pair = rng.integers(0, 256, (2, *size, 3), np.uint8)
        augmentation.random = fixed_random(scale, position)
        transform = augmentation.AllAugmentationTransform(
            resize_param=None if ratio is None else {"ratio": ratio}, crop_param={"size": crop}
        )
        frames = transform([img_as_float32(frame) for frame in pair])
        arrays[f"{name}_in"] = pair
        arrays[f"{name}_out"] = img_as_ubyte(np.stack(frames))
        arrays[f"{name}_ratio"] = np.array(ratio or ())
        arrays[f"{name}_draws"] = np.array((scale, position))
    np.savez_compressed(GOLDEN / "resize_crop.npz", **arrays)


def fixed_random(scale: float, position: float) -> SimpleNamespace:
    """Stands in for the `random` module: scales are drawn with uniform, positions with randint."""
    return SimpleNamespace(
        uniform=lambda low, high: low + (high - low) * scale,
        randint=lambda low, high: low + int(position * (high - low + 1)),
    )


if __name__ == "__main__":
    main()
