r"""AKD, MKR and AED from what a detector found in the truth and in the result.

  python -m tpsm_jax.evaluation.keypoint_tables --truth pose_truth.jsonl --result pose_result.jsonl

A table is a text file, one JSON object a line and one line a frame:

  {"file_name": "a.mp4", "frame_number": 0, "value": [[101.5, 87.0], [-1, -1], ...]}

`value` is a list of key points [x, y] in pixels, [-1, -1] for one that was not found; or an
identity embedding, a list of numbers; or null where nothing was found in the frame. A field
`detector` may name the detector: numbers compare only within one detector, and tables of two are
refused.

The tables that GitHub AliaksandrSiarohin/pose-evaluation writes become this by

  python -c "import pandas, sys; pandas.read_pickle(sys.argv[1]).to_json(sys.argv[2],
      orient='records', lines=True, double_precision=15)" pose.pkl pose.jsonl

where they were made: they are pickles, which can run anything, and are not read here.
"""

import gzip
import math
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from tpsm_jax.cli import ArgumentParser, local_path, run_script
from tpsm_jax.errors import InputError
from tpsm_jax.media.video_reader import without_suffix
from tpsm_jax.runtime.json_files import parse_json

# (clip, frame number) -> key points [N, 2] or an embedding [D], float64; None if nothing was found.
Frames = dict[tuple[str, int], np.ndarray | None]

DETECTOR_METRICS = ("akd", "mkr", "aed")  # names of the metrics that tables give
_NOT_FOUND = -1.0
_TOO_LARGE = 1e100  # its square is still a number

_CONVERT = (
    "it is a pickle, which can run anything and is not read here; where it was made, turn it into "
    """a text table: python -c "import pandas; pandas.read_pickle('{name}').to_json("""
    """'{stem}.jsonl', orient='records', lines=True, double_precision=15)\""""
)


class Table(NamedTuple):
    """What a detector found.

    Attributes:
      frames: frames of a table, as in `Frames`.
      detector: its name; "" if the table has none.
    """

    frames: Frames
    detector: str = ""


class Scores(NamedTuple):
    """The comparison of two tables; a number is None if no frame gives it.

    Attributes:
      akd: average key-point distance in pixels.
      mkr: missing key-point rate, in [0, 1].
      aed: average squared distance of identity embeddings.
      frames: in each table.
      compared: frames that the distance is the mean of.
      missing_in_truth: frames where nothing was found in the truth.
      missing_in_result: frames where nothing was found in the result.
    """

    akd: float | None
    mkr: float | None
    aed: float | None
    frames: int
    compared: int
    missing_in_truth: int
    missing_in_result: int

    def numbers(self) -> dict[str, float]:
        """Values by name, of those of `DETECTOR_METRICS` that a frame gives."""
        values = {name: getattr(self, name) for name in DETECTOR_METRICS}
        return {name: value for name, value in values.items() if value is not None}


def compare_tables(truth: Table, result: Table) -> Scores:
    """Computes AKD, MKR or AED of two tables.

    Key points, [N, 2]: of each frame the mean |difference| over x and y of the points found in
    both; AKD is the mean over the frames that have any. Of each frame the share of the points
    found in the truth that is missing in the result; MKR is the mean over the frames where the
    truth has any. Embeddings, [D]: AED is the mean over frames of the sum of squared differences.

    Args:
      truth: what was found in the real clips.
      result: what the same detector found in the same frames of the result.

    Returns:
      Scores: akd and mkr of key points, aed of embeddings, all None if nothing was ever found.
      The numbers of pose-evaluation's cmp_with_missing.py, cmp_kp.py and cmp.py, which cannot
      take a frame where nothing was found in the truth (nor, but for cmp_kp.py, in the result).

    Raises:
      InputError: the tables are not of one detector, of the same frames, or of the same kind.
    """
    _check_detectors(truth.detector, result.detector)
    _check_frames(truth.frames, result.frames)
    kind = _kind([*truth.frames.values(), *result.frames.values()])
    distances, missing = [], []
    for frame, true in truth.frames.items():
        ours = result.frames[frame]
        if true is None:
            continue
        if kind == "embedding":
            if ours is not None:
                distances.append(np.sum((true - ours) ** 2))
            continue
        seen = ~_lost(true)
        seen_in_both = seen & ~_lost(ours) if ours is not None else np.zeros_like(seen)
        if seen.any():
            missing.append(1 - seen_in_both.sum() / seen.sum())
        if ours is not None and seen_in_both.any():
            distances.append(np.mean(np.abs(true - ours)[seen_in_both]))
    distance = float(np.mean(distances)) if distances else None
    return Scores(
        akd=distance if kind == "points" else None,
        mkr=float(np.mean(missing)) if missing else None,
        aed=distance if kind == "embedding" else None,
        frames=len(truth.frames),
        compared=len(distances),
        missing_in_truth=_count_missing(truth.frames),
        missing_in_result=_count_missing(result.frames),
    )


def read_table(path: Path) -> Table:
    """Reads a table; the head of this file describes the format.

    Args:
      path: a text file, compressed if its name ends in .gz.

    Returns:
      The table, its clips named by `without_suffix`, so that mp4s and PNGs of them match.

    Raises:
      InputError: it is not such a table.
    """
    frames: Frames = {}
    detectors = set()
    with _open_text(path) as lines:
        try:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    where = f"{path}, line {number}"
                    frame, value, detector = _parse(line, where)
                    if frame in frames:
                        raise InputError(f"{where}: {frame[0]} has a frame {frame[1]} already")
                    frames[frame] = value
                    detectors.add(detector)
        except (UnicodeDecodeError, gzip.BadGzipFile, zlib.error, EOFError):
            raise InputError(f"{path} is no text table, or cut short") from None
    if not frames:
        raise InputError(f"{path} holds no frames")
    if len(detectors) > 1:
        one, other = sorted(name or "one without a name" for name in detectors)[:2]
        raise InputError(f"{path} is by two detectors, {one} and {other}")
    return Table(frames, detectors.pop())


def _open_text(path: Path) -> TextIO:
    with path.open("rb") as file:
        # What a pickle of protocol 2 and later begins with.
        if file.read(1) == b"\x80":
            raise InputError(f"{path}: " + _CONVERT.format(name=path.name, stem=path.stem))
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def _parse(line: str, where: str) -> tuple[tuple[str, int], np.ndarray | None, str]:
    try:
        row = parse_json(line)
        name, number, value = row["file_name"], row["frame_number"], row["value"]
        detector = str(row.get("detector", ""))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise InputError(
            f'{where}: not a JSON object with "file_name", "frame_number" and "value"'
        ) from None
    if not isinstance(name, str) or type(number) is not int:
        raise InputError(f"{where}: file_name must be text and frame_number a whole number")
    if value is None:
        return (without_suffix(name), number), None, detector
    try:
        array = np.asarray(value, np.float64)
    except (ValueError, TypeError, OverflowError):
        array = np.asarray(math.nan)
    if array.ndim == 2 and len(array) == 1 and array.shape[1] != 2:
        array = array[0]  # an embedding with its batch axis, as body_id writes it
    if not (np.abs(array) < _TOO_LARGE).all() or array.size == 0 or _shape_kind(array) is None:
        raise InputError(
            f"{where}: value must be key points [[x, y], ...], an embedding [a, b, ...] or null"
        )
    return (without_suffix(name), number), array, detector


def _shape_kind(value: np.ndarray) -> str | None:
    if value.ndim == 1:
        return "embedding"
    return "points" if value.ndim == 2 and value.shape[1] == 2 else None


def _kind(values: Iterable[np.ndarray | None]) -> str | None:
    shapes = {value.shape: value for value in values if value is not None}
    if len(shapes) > 1:
        few = " and ".join(str(list(shape)) for shape in list(shapes)[:2])
        raise InputError(
            f"values of shapes {few} cannot be compared: both tables must come from one detector"
        )
    return next((_shape_kind(value) for value in shapes.values()), None)


def _lost(points: np.ndarray) -> np.ndarray:
    # Both coordinates: a point of a face may lie a pixel outside the frame.
    return (points == _NOT_FOUND).all(axis=1)


def _count_missing(frames: Frames) -> int:
    return sum(
        value is None or _shape_kind(value) == "points" and bool(_lost(value).all())
        for value in frames.values()
    )


def _check_detectors(truth: str, result: str) -> None:
    if truth != result:
        truth, result = truth or "a detector without a name", result or "one without a name"
        raise InputError(
            f"the truth's table is by {truth} and the result's by {result}: numbers compare only "
            "within one detector"
        )


def _check_frames(truth: Frames, result: Frames) -> None:
    for name, frames in (("result", truth.keys() - result.keys()),
                         ("truth", result.keys() - truth.keys())):  # fmt: skip
        if frames:
            clip, number = min(frames)
            raise InputError(
                f"{len(frames)} frames are not in the {name}'s table, the first of them "
                f"frame {number} of {clip}: both must be of the same clips"
            )


def main() -> None:
    """Prints the scores of two tables."""
    parser = ArgumentParser(__doc__)
    parser.add_argument("--truth", type=local_path, required=True, help="table of the real clips")
    parser.add_argument(
        "--result", type=local_path, required=True, help="table of the animated clips"
    )
    args = parser.parse_args()
    truth = read_table(args.truth)
    print_scores(compare_tables(truth, read_table(args.result)))
    if truth.detector:
        print(f"by {truth.detector}: numbers compare only within one detector")


def print_scores(scores: Scores) -> None:
    """Prints one line a number, with what it is the mean of."""
    for name, value in scores.numbers().items():
        print(f"{name.upper()} {value:.6g}")
    print(f"frames {scores.frames}, of which the distance is the mean of {scores.compared}")
    print(f"nothing found in {scores.missing_in_truth} frames of the truth", end=", ")
    print(f"{scores.missing_in_result} of the result")


if __name__ == "__main__":
    run_script(main)
