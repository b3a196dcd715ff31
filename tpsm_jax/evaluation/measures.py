"""The numbers of a batch of frames, and their means over clips."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from tpsm_jax.evaluation import frame_metrics as pictures

Numbers = dict[str, Any]

# Means of these leave out the first frame. It has no frame before it, and it is the source: the
# PSNR of repeating that is unbounded, and its cap would lift the mean of every short clip.
WITHOUT_FIRST = ("flicker", "change_ratio", "psnr")


class Measure(NamedTuple):
    """How a number is shown.

    Attributes:
      title: the column's title.
      digits: digits after the point.
      more_is_better: None where neither the largest nor the smallest is best, or where checkpoints
        cannot be ranked because each judges itself.
      meaning: the explanation in the report.
    """

    title: str
    digits: int
    more_is_better: bool | None
    meaning: str


MEASURES = {
    "l1": Measure("L1", 4, False, "mean absolute difference from the true frame, in [0, 1]"),
    "psnr": Measure("PSNR", 2, True, "decibels, but for first frames; equal frames count as 100"),
    "ssim": Measure("SSIM", 4, True, "structural similarity, Wang et al. 2004"),
    "ms_ssim": Measure("MS-SSIM", 4, True, "the same over five scales, from 176 pixels a side"),
    "perceptual": Measure("VGG-19", 3, False, "difference of VGG-19 features; not LPIPS"),
    "keypoints": Measure(
        "Keypoints",
        4,
        None,
        "distance of the model's own keypoints in the result from those asked for; 1 is half the "
        "side; 0 is best, but each model judges itself, so that this ranks none",
    ),
    "flicker": Measure("Flicker", 4, False, "mean absolute change of the error between frames"),
    "change_ratio": Measure(
        "Change", 3, None, "how much the result changes between frames, of how much the driving "
        "clip does: 1 is as steady"
    ),
    "akd": Measure("AKD", 3, False, "distance in pixels of the key points that a detector finds"),
    "mkr": Measure("MKR", 3, False, "share of the truth's key points that it misses in the result"),
    "aed": Measure("AED", 3, False, "squared distance of a detector's identity embeddings"),
}  # fmt: skip

Features = Callable[[jax.Array], Sequence[jax.Array]]


def compare(prediction: jax.Array, target: jax.Array, features: Features | None) -> Numbers:
    """Compares frames with the truth.

    Args:
      prediction: [B + 1, H, W, 3] in [0, 1]. The first is the frame before the batch, which only
        measures between frames use.
      target: [B + 1, H, W, 3].
      features: VGG-19's feature maps of [T, H, W, 3], or None.

    Returns:
      Name -> [B] float32.
    """
    numbers = {"flicker": pictures.flicker(prediction, target)}
    prediction, target = prediction[1:], target[1:]
    numbers |= {"l1": pictures.l1(prediction, target), "psnr": pictures.psnr(prediction, target)}
    smallest_side = min(target.shape[1:3])
    if smallest_side >= pictures.SSIM_SMALLEST:
        numbers["ssim"] = pictures.ssim(prediction, target)
    if smallest_side >= pictures.MS_SSIM_SMALLEST:
        numbers["ms_ssim"] = pictures.ms_ssim(prediction, target)
    if features is not None:
        numbers["perceptual"] = pictures.perceptual(features(prediction), features(target))
    return numbers


class ClipNumbers:
    """Adds up the numbers of a clip in float64."""

    def __init__(self) -> None:
        """Starts with none."""
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self.frames = 0

    def add(self, numbers: Mapping[str, np.ndarray], count: int) -> None:
        """Adds the first `count` numbers of a batch; see `WITHOUT_FIRST`."""
        for name, values in numbers.items():
            chosen = np.asarray(values, np.float64)[:count]
            if _base(name) in WITHOUT_FIRST and self.frames == 0:
                chosen = chosen[1:]
            self._sums[name] = self._sums.get(name, 0.0) + float(chosen.sum())
            self._counts[name] = self._counts.get(name, 0) + len(chosen)
        self.frames += count

    def means(self) -> dict[str, float]:
        """Returns name -> mean over the clip, without names that have no value."""
        means = {name: self._sums[name] / n for name, n in sorted(self._counts.items()) if n}
        changes = means.pop("change_result", None), means.pop("change_driving", None)
        if changes[0] is not None and changes[1]:
            means["change_ratio"] = changes[0] / changes[1]
        return means


def mean_over_frames(clips: Sequence[Mapping[str, Any]], key: str) -> dict[str, float]:
    """Means over all frames of all clips: the clips' means, weighted by their frames.

    Args:
      clips: records of clips, with "frames" and, under `key`, name -> mean over the clip.
      key: "metrics" or "static".

    Returns:
      Name -> mean, for every name that a clip has.
    """
    names = sorted({name for clip in clips for name in clip[key]})
    totals = {}
    for name in names:
        having = [clip for clip in clips if name in clip[key]]
        weights = [clip["frames"] - (name in WITHOUT_FIRST) for clip in having]
        values = [clip[key][name] for clip in having]
        totals[name] = float(np.dot(weights, values) / np.sum(weights))
    return totals


def _base(name: str) -> str:
    return "flicker" if name.startswith("change_") else name
