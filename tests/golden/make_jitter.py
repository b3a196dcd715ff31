"""Writes tests/golden/jitter.npz: what torchvision and the official code make of small pictures.

Run where torchvision and scikit-image are installed (the project needs neither):
  python -m tests.golden.make_jitter --reference OFFICIAL_CHECKOUT
"""

import argparse
import importlib
import random

import numpy as np
from PIL import Image

from tests.golden.reference import open_checkout
from tests.helpers.paths import GOLDEN

OPERATIONS = ("brightness", "contrast", "saturation", "hue")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", required=True)
    open_checkout(parser.parse_args().reference)
    pictures, odd = make_pictures(), make_odd_pictures()
    arrays = {"pictures": pictures, "odd_pictures": odd}
    for name in OPERATIONS:
        factors = make_turns() if name == "hue" else make_factors()
        arrays[f"{name}_factors"] = factors
        arrays[f"{name}_out"] = adjust(name, pictures, factors)
    arrays["odd_out"] = adjust("contrast", odd, arrays["contrast_factors"])
    for case, extents in {
        "all": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.3},
        "two": {"saturation": 0.1, "contrast": 0.1},
        "hue_only": {"hue": 0.5},
    }.items():
        draws = [official_jitter(pictures[[0, 9]], extents, seed) for seed in range(8)]
        for key in draws[0]:
            arrays[f"official_{case}_{key}"] = np.stack([draw[key] for draw in draws])
    np.savez_compressed(GOLDEN / "jitter.npz", **arrays)


def make_pictures() -> np.ndarray:
    """uint8 [10, 16, 24, 3]."""
    rng = np.random.default_rng(0)
    shape = (16, 24, 3)
    y, x = np.mgrid[0:1:16j, 0:1:24j]
    return np.stack(
        [
            rng.integers(0, 256, shape),
            rng.integers(0, 40, shape),
            np.broadcast_to(np.arange(16 * 24).reshape(16, 24, 1) % 256, shape),  # grays
            np.zeros(shape),
            np.full(shape, 255),
            rng.choice([0, 1, 254, 255], shape),
            whole_hues(rng)[: 16 * 24].reshape(shape),
            np.broadcast_to(np.where(y < 0.5, 10, 11)[..., None], shape),  # gray mean 10.5
            np.full(shape, (200, 3, 120)),
            255 * np.stack([x, y, (1 - x) * y], axis=-1),
        ]
    ).astype(np.uint8)


def whole_hues(rng: np.random.Generator) -> np.ndarray:
    """[510, 3] colors whose hue is a whole number of 1/255 turns, each hue twice, shuffled.

    There Pillow's float arithmetic decides between two whole numbers.
    """
    hue = np.arange(255)
    position = (2 * hue[:, None] + 85 * np.array([5, 3, 1])) % 510
    fall = np.clip(np.minimum(position, 340 - position), 0, 85)
    dull = 255 - fall - rng.integers(0, 170, (255, 1))
    return np.concatenate([rng.permutation(dull), rng.permutation(255 - 3 * fall)])


def make_odd_pictures() -> np.ndarray:
    """uint8 [4, 9, 7, 3]: grays whose mean lies 1/126 below or above a half, and noise."""
    rng = np.random.default_rng(1)
    grays = [np.repeat([100, 101], [63 - more, more]) for more in (31, 32)]
    grays = [np.broadcast_to(gray.reshape(9, 7, 1), (9, 7, 3)) for gray in grays]
    return np.stack([*grays, *rng.integers(0, 256, (2, 9, 7, 3))]).astype(np.uint8)


def make_factors() -> np.ndarray:
    """float32 [20]."""
    rng = np.random.default_rng(2)
    one = np.float32(1)
    fixed = [0, 1e-30, 0.001, 0.5, 0.9, np.nextafter(one, 0), 1, np.nextafter(one, 2), 1.1, 2, 9.7]
    return np.float32([*fixed, *rng.uniform(0.9, 1.1, 5), *rng.uniform(0, 2, 4)])


def make_turns() -> np.ndarray:
    """float32 [24]: hue shifts, many of them where the number of whole steps changes."""
    rng = np.random.default_rng(3)
    steps = np.float32([1, 2, 31, 127]) / np.float32(255)
    edges = [0.5, 0.1, 0.001, *steps, *np.nextafter(steps, np.float32(0))]
    return np.float32([0, *edges, *np.negative(edges), rng.uniform(-0.5, 0.5)])


def adjust(name: str, pictures: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """What torchvision's adjust_NAME returns: uint8 [F, N, H, W, 3]."""
    functional = importlib.import_module("torchvision.transforms.functional")
    operation = getattr(functional, f"adjust_{name}")
    images = [Image.fromarray(picture) for picture in pictures]
    out = [[np.asarray(operation(i, float(factor))) for i in images] for factor in factors]
    return np.array(out)


def official_jitter(pair: np.ndarray, extents: dict, seed: int) -> dict[str, np.ndarray]:
    """The official `ColorJitter` of a pair, and what it drew, found by drawing it again.

    Args:
      pair: uint8 [2, H, W, 3].
      extents: operation -> extent.
      seed: seed of `random`.

    Returns:
      order int [n], factors float32 [4] (0 where absent), out uint8 [2, H, W, 3].
    """
    transform = importlib.import_module("augmentation").ColorJitter(**extents)
    random.seed(seed)
    frames = np.stack(transform(list(pair / 255)))
    out = np.round(frames * 255).astype(np.uint8)

    random.seed(seed)
    factors = transform.get_params(*(extents.get(name, 0) for name in OPERATIONS))
    order = [i for i in (0, 2, 3, 1) if factors[i] is not None]
    random.shuffle(order)
    return {"order": np.int32(order), "factors": np.float32([f or 0 for f in factors]), "out": out}


if __name__ == "__main__":
    main()
