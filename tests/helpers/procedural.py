"""Weights and pictures made from a name and a seed, so that full-size networks need no storing.

Every value comes from the raw bits of a counter-based generator and from integer or single IEEE
operations: it is the same on every machine and for every version of NumPy. Transcendental
functions and floating-point sums, whose last bit may differ, are used only where it does not show.

The tensors are scaled so that the whole chain behaves like a trained one: keypoints spread over
the picture and follow it, splines stay invertible, masks and contribution maps lie in the middle,
the flow stays mostly inside [-1, 1]. What makes that possible for random networks is that every
filter sums to exactly zero: the mean that relu leaves on every feature would otherwise drown the
picture, and the keypoints of any two pictures would be the same.

Making an official-layout checkpoint (the only part that needs the library):
  python -m tests.helpers.procedural --config configs/vox256.py --output vox.pth.tar
"""

import argparse
import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

SEED = 0
OPTIONAL = ("bg_predictor", "avd_network")
# Odd and large: 16-bit draws are centered about 0 by 2 * u - MAX.
_MAX = 2**16 - 1
# Standard deviation of 2 * u - _MAX, within a millionth.
_DEVIATION = 37836.6

# Gain of the last layer of each output: how far it leaves the middle of its range.
_GAINS = {
    "kp_detector.fg_encoder.fc.weight": 1.4,
    "bg_predictor.bg_encoder.fc.weight": 0.05,
    "dense_motion_network.maps.weight": 1.0,
    "dense_motion_network.occlusion": 1.0,
    "inpainting_network.final.weight": 1.0,
    "avd_network.decoder.9.weight": 0.4,
}


def procedural_tensor(name: str, shape: tuple[int, ...], seed: int = SEED) -> np.ndarray:
    """A checkpoint's tensor, from its name.

    Args:
      name: "network.key", as "kp_detector.fg_encoder.conv1.weight".
      shape: shape in the PyTorch state dict (convolutions OIHW).
      seed: another seed is another checkpoint.

    Returns:
      float32 array of `shape`; int64 zeros for `num_batches_tracked`.
    """
    kind = name.rpartition(".")[2]
    if kind == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if name.endswith(".down.weight"):
        return _antialias_weight(shape)
    if name == "kp_detector.fg_encoder.fc.bias":
        points = _spline_crosses(shape[0] // 10, seed)
        # The detector's output is 2 * sigmoid(.) - 1, inverted here. Rounded coarsely, so that the
        # last bit of the logarithm does not show.
        logits = np.round(np.log((1 + points) / (1 - points)) * 1024) / 1024
        return logits.reshape(shape).astype(np.float32)
    if name == "avd_network.decoder.9.bias":
        return _spline_crosses(shape[0] // 10, seed).reshape(shape).astype(np.float32)
    if name == "bg_predictor.bg_encoder.fc.bias":
        affine = np.array([0.96, 0.02, 0.03, -0.015, 1.03, -0.02])
        return affine.astype(np.float32)
    if kind == "running_var":
        return uniform(name, shape, 0.75, 1.25, seed)
    if kind == "weight" and len(shape) == 1:
        return uniform(name, shape, 0.75, 1.25, seed)
    if kind == "weight":
        return _zero_sum_filters(name, shape, seed)
    return uniform(name, shape, -0.1, 0.1, seed)


def procedural_checkpoint(
    model_params: Mapping[str, Any], seed: int = SEED, without: Collection[str] = ()
) -> dict[str, dict[str, np.ndarray]]:
    """An official checkpoint's networks: name -> state dict, as the official code would save it.

    Args:
      model_params: the config's field of that name.
      seed: seed of `procedural_tensor`.
      without: names of networks to leave out.
    """
    from tpsm_jax.checkpoints.torch import torch_shapes

    return {
        network: {
            key: procedural_tensor(f"{network}.{key}", shape, seed) for key, shape in shapes.items()
        }
        for network, shapes in torch_shapes(model_params).items()
        if network not in without
    }


def uniform(
    name: str, shape: tuple[int, ...], low: float, high: float, seed: int = SEED
) -> np.ndarray:
    """float32 array of `shape`, uniform in (low, high) with 16 bits, drawn from `name`."""
    return (low + (high - low) * ((_draws(name, shape, seed) + 0.5) / 2**16)).astype(np.float32)


def _draws(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """int64 array of `shape`, each entry uniform in 0 .. 65535."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    bits = np.random.Philox(key=int.from_bytes(digest[:16], "little"))
    count = int(np.prod(shape))
    words = np.asarray(bits.random_raw(-(-count // 4))).astype("<u8", copy=False)
    return words.view("<u2")[:count].astype(np.int64).reshape(shape)


def _zero_sum_filters(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Weights of deviation gain / sqrt(fan in); each output's weights sum to zero."""
    draws = 2 * _draws(name, shape, seed) - _MAX
    fan_in = int(np.prod(shape[1:]))
    centered = draws * fan_in - draws.sum(axis=tuple(range(1, len(shape))), keepdims=True)
    return (centered * (_gain(name) / (_DEVIATION * fan_in * np.sqrt(fan_in)))).astype(np.float32)


def _gain(name: str) -> float:
    for prefix, gain in _GAINS.items():
        if name.startswith(prefix):
            return gain
    return 2**0.5


def _spline_crosses(splines: int, seed: int) -> np.ndarray:
    """[splines, 5, 2] float64: the five points of each spline as a cross of random place and size.

    The five must not be near each other, or the spline's system is near singular and the chain
    amplifies rounding.
    """
    center = uniform("crosses/centre", (splines, 1, 2), -0.4, 0.4, seed).astype(np.float64)
    radius = uniform("crosses/radius", (splines, 1, 1), 0.25, 0.45, seed).astype(np.float64)
    jitter = uniform("crosses/jitter", (splines, 5, 2), -0.08, 0.08, seed).astype(np.float64)
    corners = np.array([[-1, -1], [1, -1], [0, 0], [-1, 1], [1, 1]])
    return center + radius * corners + jitter


def _antialias_weight(shape: tuple[int, ...]) -> np.ndarray:
    """The constant blur that checkpoints store, [channels, 1, k, k]."""
    scale = {5: 0.5, 13: 0.25, 29: 0.125}[shape[-1]]
    offsets = np.arange(shape[-1]) - shape[-1] // 2
    sigma = (1 / scale - 1) / 2
    profile = np.exp(-(offsets**2) / (2 * sigma**2))
    kernel = np.outer(profile, profile)
    return np.broadcast_to(kernel / kernel.sum(), shape).astype(np.float32)


def procedural_picture(
    name: str, height: int, width: int, time: float = 0.0, seed: int = SEED
) -> np.ndarray:
    """A picture of soft colored blobs and sharp discs that drift with time.

    Args:
      name: another name is another picture.
      height: rows.
      width: columns.
      time: the blobs move by a few tenths of the picture within 1.
      seed: seed of the picture.

    Returns:
      [height, width, 3] float32 in [0, 1], multiples of 1/255 (so it survives a PNG file).
    """
    y = (2 * (np.arange(height) + 0.5) / height - 1)[:, None, None]
    x = (2 * (np.arange(width) + 0.5) / width - 1)[None, :, None]

    def draw(kind: str, shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
        return uniform(f"{name}/{kind}", shape, low, high, seed).astype(np.float64)

    color = draw("background", (3,), 0.2, 0.8)
    slope = draw("slope", (2, 3), -0.25, 0.25)
    picture = color + slope[0] * x + slope[1] * y
    blobs = 14
    centers = draw("centre", (blobs, 2), -0.9, 0.9) + time * draw("motion", (blobs, 2), -0.3, 0.3)
    radii, colors = draw("radius", (blobs,), 0.12, 0.5), draw("colour", (blobs, 3), 0.0, 1.0)
    for i in range(blobs):
        distance = ((x - centers[i, 0]) ** 2 + (y - centers[i, 1]) ** 2) / radii[i] ** 2
        if i % 3 == 0:
            # An edge some eight pixels wide at 256: a sharper one amplifies the flow's rounding.
            cover = np.clip(0.5 + radii[i] * (1 - distance) / 0.12, 0, 1)
        else:
            cover = 1 / (1 + distance * distance)
        picture = picture + cover * (colors[i] - picture)
    # Dark at the border, where zero padding would otherwise be the sharpest edge of all.
    frame = np.clip((1 - x * x) / 0.35, 0, 1) * np.clip((1 - y * y) / 0.35, 0, 1)
    return (np.round(255 * np.clip(picture, 0, 1) * frame) / 255).astype(np.float32)


def main() -> None:
    """Writes an official-layout checkpoint of procedural weights."""
    from tpsm_jax.checkpoints.torch import write_torch_file
    from tpsm_jax.config import read_config

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--config", type=Path, required=True, help="e.g. configs/vox256.py")
    parser.add_argument("--output", required=True, help="file to write, e.g. vox.pth.tar")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--without", nargs="*", default=[], choices=OPTIONAL)
    args = parser.parse_args()
    model_params = read_config(args.config).model_params.to_dict()
    checkpoint = procedural_checkpoint(model_params, args.seed, args.without)
    write_torch_file(args.output, {**checkpoint, "epoch": 100})


if __name__ == "__main__":
    from tpsm_jax.cli import run_script

    run_script(main)
