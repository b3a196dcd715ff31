"""The numbers of a batch of frames, and their means over clips."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tpsm_jax.evaluation import frame_metrics
from tpsm_jax.models.vgg19 import VGG19
from tpsm_jax.ops.pixels import to_float

Numbers = dict[str, Any]
BatchNumbers = dict[str, dict[str, jax.Array]]

# Means of these leave out the first frame. It has no frame before it, and it is the source: the
# PSNR of repeating that is unbounded, and its cap would lift the mean of every short clip.
WITHOUT_FIRST = ("flicker", "change_ratio", "change_result", "change_driving", "psnr")


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
    "limbs": Measure(
        "Limbs", 3, True, "share of wrists and ankles within a tenth of the side of the drawn truth"
    ),
    "joint_akd": Measure("Joints AKD", 2, False, "distance in pixels of joints from the truth's"),
    "joint_mkr": Measure("Joints MKR", 3, False, "share of joints that the result does not show"),
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
    numbers = {"flicker": frame_metrics.flicker(prediction, target)}
    prediction, target = prediction[1:], target[1:]
    numbers |= {
        "l1": frame_metrics.l1(prediction, target),
        "psnr": frame_metrics.psnr(prediction, target),
    }
    smallest_side = min(target.shape[1:3])
    if smallest_side >= frame_metrics.SSIM_SMALLEST:
        numbers["ssim"] = frame_metrics.ssim(prediction, target)
    if smallest_side >= frame_metrics.MS_SSIM_SMALLEST:
        numbers["ms_ssim"] = frame_metrics.ms_ssim(prediction, target)
    if features is not None:
        numbers["perceptual"] = frame_metrics.perceptual(features(prediction), features(target))
    return numbers


@functools.partial(jax.jit, static_argnames=("with_truth", "l1_only"))
def measure(
    vgg19: Any,
    source: dict[str, jax.Array],
    frames: jax.Array,
    before: tuple[jax.Array, jax.Array],
    outputs: dict[str, jax.Array],
    *,
    with_truth: bool,
    l1_only: bool,
) -> tuple[BatchNumbers, jax.Array]:
    """Measures a batch of results, and the baseline that repeats the source, on one device.

    Args:
      vgg19: variables of `VGG19`, for the perceptual distance, or None.
      source: "source" [1, H, W, 3] in [0, 1], and "points" [1, N, 2], those of its pose.
      frames: [B, H, W, 3] uint8, the driving frames.
      before: the frame before the first of `frames`, [1, H, W, 3] uint8, and its result.
      outputs: "prediction" [B, H, W, 3] in [0, 1]; "wanted" and "found" [B, N, 2], the points that
        were asked for and those that the results have.
      with_truth: whether the driving frames are what the results should be.
      l1_only: leave out all numbers but L1; "found" is not needed then.

    Returns:
      {"result": ..., "static": ...}, name -> [B] each; and the last result, for the next batch.
    """
    driving, prediction = to_float(frames), outputs["prediction"]
    results = jnp.concatenate([before[1], prediction])
    targets = jnp.concatenate([to_float(before[0]), driving])
    still = jnp.broadcast_to(source["source"], targets.shape)
    numbers: BatchNumbers = {"result": {}, "static": {}}
    if l1_only:
        numbers["result"]["l1"] = frame_metrics.l1(prediction, driving)
        numbers["static"]["l1"] = frame_metrics.l1(still[1:], driving)
        return numbers, prediction[-1:]
    wanted = outputs["wanted"]
    if with_truth:
        features: Features | None = None
        if vgg19 is not None:
            features = functools.partial(VGG19().apply, vgg19)
        numbers["result"] |= compare(results, targets, features)
        numbers["static"] |= compare(still, targets, None)
        if features is not None:
            # One picture, which all frames of the baseline repeat.
            numbers["static"]["perceptual"] = frame_metrics.perceptual(
                features(source["source"]), features(targets[1:])
            )
        numbers["static"]["keypoints"] = frame_metrics.keypoint_distance(
            jnp.broadcast_to(source["points"], wanted.shape), wanted
        )
    numbers["result"] |= {
        "keypoints": frame_metrics.keypoint_distance(outputs["found"], wanted),
        "change_result": frame_metrics.change(results),
        "change_driving": frame_metrics.change(targets),
    }
    return numbers, prediction[-1:]


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
            if name in WITHOUT_FIRST and self.frames == 0:
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
        total = np.sum(weights)  # 0 if all clips have a single frame
        totals[name] = float(np.dot(weights, values) / total) if total else math.nan
    return totals
