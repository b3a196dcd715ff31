"""How steady is a detector on real clips: which difference of AKD means something?

  .venv-detector/bin/python -m benchmarks.studies.detector --input CLIPS --kind face

Each clip is compared with itself moved by 2 pixels both ways, where AKD should be 2, and with noise
of 1/255 on it, where it should be 0.
"""

import time
from itertools import islice

import numpy as np

from benchmarks.common.results import add_output_flag, write_results
from data.fitting import fit
from detectors.interface import Detector, make_detector
from detectors.table import KINDS, find_clips
from tpsm_jax.cli import ArgumentParser, local_path, run_script

SIZE = (256, 256)
COLUMNS = "frames joints akd_moved akd_noise mkr_moved 2nd_diff ms"


def main() -> None:
    """Prints a line a clip, and the medians."""
    parser = ArgumentParser(__doc__)
    parser.add_argument("--input", type=local_path, required=True, help="folder of clips")
    parser.add_argument("--kind", choices=sorted(KINDS), default="face")
    parser.add_argument(
        "--frames", type=int, default=60, help="frames of each clip, from its start (60)"
    )
    add_output_flag(parser)
    args = parser.parse_args()
    detector = make_detector(KINDS[args.kind])
    print(detector.name, COLUMNS.replace(" ", "  "), sep="\n")
    rows, names = [], []
    for clip in find_clips(args.input, SIZE):
        frames = [fit(frame, SIZE) for frame in islice(clip.frames(), args.frames)]
        rows.append(measure(frames, detector))
        names.append(clip.name)
        print(line(rows[-1]), names[-1], flush=True)
    rows.append(np.nanmedian(rows, axis=0).tolist())
    names.append("median")
    print(line(rows[-1]), names[-1])
    report = []
    for name, row in zip(names, rows, strict=True):
        values = [value if np.isfinite(value) else None for value in row]  # JSON has no NaN
        columns = dict(zip(COLUMNS.split(), values, strict=True))
        report.append({"clip": name, "detector": detector.name, **columns})
    write_results(args.output, report)


def measure(frames: list[np.ndarray], detector: Detector) -> list[float]:
    """Measures a clip; returns the values of `COLUMNS`."""
    start = time.perf_counter()
    points = detect(frames, detector)
    seconds = time.perf_counter() - start
    rng = np.random.default_rng(0)
    moved = detect(
        [np.pad(f, ((2, 0), (2, 0), (0, 0)), "edge")[:-2, :-2] for f in frames], detector
    )
    noise = [np.rint(f + rng.normal(0, 1, f.shape)).clip(0, 255).astype(np.uint8) for f in frames]
    noisy = detect(noise, detector)
    there, there_moved = (np.isfinite(array[..., 0]) for array in (points, moved))
    return [
        there.any(axis=1).mean(),
        there[there.any(axis=1)].mean(),
        np.nanmean(np.abs(moved - points)),
        np.nanmean(np.abs(noisy - points)),
        (there & ~there_moved).sum() / there.sum(),
        np.nanmean(np.abs(np.diff(points, 2, axis=0))),
        1000 * seconds / len(frames),
    ]


def detect(frames: list[np.ndarray], detector: Detector) -> np.ndarray:
    """Finds the key points of every frame: [frames, K, 2] pixels, NaN where not found."""
    points = np.full((len(frames), len(detector.keypoints), 2), np.nan)
    for row, frame in zip(points, frames, strict=True):
        detection = detector.detect(np.ascontiguousarray(frame))
        if detection is not None:
            row[detection.found] = detection.value[detection.found]
    return points


def line(row: list[float]) -> str:
    """Formats the columns of a clip."""
    return "  ".join(f"{value:.3f}" for value in row)


if __name__ == "__main__":
    run_script(main)
