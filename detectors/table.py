"""Writes a table of the key points in every frame of a folder of clips.

  python -m detectors.table --input CLIPS --output faces.jsonl

CLIPS is a prepared data set, or a folder whose entries are one clip each: a wide picture of frames
side by side, as eval.py writes them, a video, or a folder of frames. Clips that cannot be read are
named and left out.
The table has one JSON object a line and one line a frame, as
`tpsm_jax.evaluation.keypoint_tables` reads them:

  {"file_name": "a.mp4", "frame_number": 0, "value": [[101.5, 87.0], [-1, -1]], "detector": "..."}

`value` is null where nothing was found, [-1, -1] for one point that was not.
"""

import argparse
import gzip
import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from tqdm import tqdm

from data.clip import Clip
from data.clips import open_clip
from data.fitting import fitted_frames
from data.notes import passed_over
from data.roots import FOLDER, RootOptions, root_kind
from data.wide_pictures import WidePictures
from detectors.interface import Detection, Detector, make_detector
from tpsm_jax.cli import ArgumentParser, local_path, run_script
from tpsm_jax.errors import InputError
from tpsm_jax.media.proportions import SqueezeWarning
from tpsm_jax.media.video_reader import without_suffix
from tpsm_jax.runtime.atomic_files import replaced

KINDS = {"face": "detectors.mediapipe_keypoints:Face", "body": "detectors.mediapipe_keypoints:Body"}
NOT_FOUND = [-1, -1]  # as in pose-evaluation's tables
_SUFFIXES = (".jsonl", ".jsonl.gz")


def main() -> None:
    """Parses the flags, looks at every frame, writes the table and says what was not found."""
    args = parse_arguments()
    output = args.output
    if not output.name.endswith(_SUFFIXES) or output.is_dir():
        raise InputError(f"{output} is no name for a table: end it in {' or '.join(_SUFFIXES)}")
    if not output.parent.is_dir():
        raise InputError(f"there is no folder {output.parent} to write {output.name} to")
    detector = make_detector(args.detector or KINDS[args.kind])
    clips = find_clips(args.input, args.frame_shape)
    with table_file(output) as file:
        lines = write_rows(file, clips, detector, args.frame_shape if args.resize else None)
    print(f"wrote {output}: {detector.name}", *lines, sep="\n")


def find_clips(folder: Path, frame_shape: tuple[int, int]) -> list[Clip]:
    """The clips in a folder, or in its test/ where it has one, sorted by name.

    Args:
      folder: holds wide pictures, videos and folders of frames, other files are passed over; or
        it is a prepared data set.
      frame_shape: (height, width) of the frames of wide pictures; only their proportions count.

    Returns:
      At least one clip.

    Raises:
      InputError: there is no such folder, no clip in it, or two of one name but for the suffix.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder of clips {folder}")
    options = RootOptions(frame_shape)
    kind = root_kind(folder, options)
    if kind is not FOLDER:
        return kind.find(folder, "test", options)
    folder = folder / "test" if (folder / "test").is_dir() else folder
    wide_pictures = WidePictures(frame_shape, height_is_known=False)
    found = (
        open_clip(path, wide_pictures)
        for path in sorted(folder.iterdir(), key=lambda path: path.name)
        if not path.name.startswith(".")
    )
    clips = [clip for clip in found if clip is not None]
    if not clips:
        raise InputError(f"{folder} holds no clip: wide pictures, videos, or folders of frames")
    # By so much of its name a clip's truth and its result find each other.
    name, count = Counter(without_suffix(clip.name) for clip in clips).most_common(1)[0]
    if count > 1:
        raise InputError(f"{folder} has {count} clips {name} with different suffixes: rename them")
    for note in passed_over(folder, clips):
        print(f"warning: {note}", file=sys.stderr)
    return clips


def write_rows(
    file: TextIO, clips: list[Clip], detector: Detector, size: tuple[int, int] | None
) -> list[str]:
    """Looks at every frame of every clip and writes what is found.

    Args:
      file: gets a line a frame, clip by clip.
      clips: in the order of the table.
      detector: the detector that finds the keypoints.
      size: (height, width) that frames are resized to before, or None for their own.

    Returns:
      Lines that say in how many frames nothing was found, and in which; and the clips that cannot
      be read, which are left out and also reported on stderr at once.

    Raises:
      InputError: no clip could be read.
      ValueError: the detector's arrays have other shapes than it says.
    """
    broken, empty, warn = [], [], SqueezeWarning()
    frames = frames_found = points_found = 0
    with tqdm(unit="frame", mininterval=0.5) as progress:
        for position, clip in enumerate(clips, 1):
            progress.set_description(f"clip {position}/{len(clips)}")
            try:
                values = list(_values(fitted_frames(clip, size, warn), detector, progress))
            except InputError as error:
                broken.append(clip.name)
                progress.write(f"left out: {error}", file=sys.stderr)
                continue
            for number, value in enumerate(values):
                row = {"file_name": clip.name, "frame_number": number, "value": value}
                file.write(json.dumps(row | {"detector": detector.name}) + "\n")
            nowhere = [number for number, value in enumerate(values) if value is None]
            if nowhere:
                empty.append(f"  {clip.name}: {len(nowhere)} of {len(values)}: {_ranges(nowhere)}")
            frames += len(values)
            frames_found += len(values) - len(nowhere)
            points_found += sum(_count(value) for value in values if value is not None)
    if not frames:
        raise InputError(f"none of the {len(clips)} clips could be read")
    lines = [f"nothing found in {frames - frames_found} of {frames} frames", *empty]
    if detector.keypoints and frames_found:
        share = points_found / (frames_found * len(detector.keypoints))
        lines.insert(1, f"points found in the other frames: {share:.1%}")
    if broken:
        lines.append(f"clips left out, which cannot be read: {', '.join(broken)}")
    return lines


@contextmanager
def table_file(path: Path) -> Iterator[TextIO]:
    """A text file that is in its place once it is whole, compressed if its name ends in .gz.

    Args:
      path: where it goes; an older one stays until then, and after an error.

    Yields:
      The file.

    Raises:
      OSError: it cannot be written.
    """
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with replaced(path) as partial, opener(partial, "wt", encoding="utf-8") as file:
        yield file


def parse_arguments() -> argparse.Namespace:
    """The flags; `frame_shape` as (height, width)."""
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add(
        "--input",
        required=True,
        type=local_path,
        help="folder of clips, or one that has them in test/",
    )
    add("--output", required=True, type=local_path, help="the table, .jsonl or .jsonl.gz")
    add("--kind", choices=sorted(KINDS), default="face", help="what MediaPipe looks for (face)")
    add("--detector", metavar="MODULE:CLASS", help="a detector of your own, instead of --kind")
    add(
        "--frame_shape",
        type=parse_shape,
        default=(256, 256),
        metavar="HEIGHT,WIDTH",
        help="size of the model's frames (256,256); wide pictures are cut in these proportions",
    )
    add(
        "--resize",
        action="store_true",
        help="bring frames to that size first, as eval.py does: for the clips that results of "
        "another size are compared with",
    )
    return parser.parse_args()


def parse_shape(text: str) -> tuple[int, int]:
    """'256,256' as (height, width)."""
    sides = text.split(",")
    if len(sides) != 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHT,WIDTH")
    return int(sides[0]), int(sides[1])


def _values(
    frames: Iterator[np.ndarray], detector: Detector, progress: tqdm
) -> Iterator[list | None]:
    """Each frame's entry of the table."""
    for frame in frames:
        detection = detector.detect(np.ascontiguousarray(frame))
        yield None if detection is None else _value(detection, detector)
        progress.update()


def _value(detection: Detection, detector: Detector) -> list | None:
    points = len(detector.keypoints)
    value, found = np.asarray(detection.value, float), np.asarray(detection.found, bool)
    if (value.shape, found.shape) != (
        ((points, 2), (points,)) if points else (value.shape[:1], ())
    ):
        raise ValueError(
            f"{detector.name}: value and found of {points or 'no'} points have shapes "
            f"{value.shape} and {found.shape}"
        )
    if not found.any():
        return None
    if not points:
        return value.tolist()
    rows = zip(value.round(3).tolist(), found, strict=True)
    return [point if is_there else NOT_FOUND for point, is_there in rows]


def _count(value: list) -> int:
    return sum(point != NOT_FOUND for point in value)


def _ranges(numbers: list[int]) -> str:
    """Ascending numbers as '0-3, 7'."""
    present = set(numbers)
    starts = [n for n in numbers if n - 1 not in present]
    ends = [n for n in numbers if n + 1 not in present]
    pairs = zip(starts, ends, strict=True)
    return ", ".join(f"{start}-{end}" if end > start else f"{start}" for start, end in pairs)


if __name__ == "__main__":
    run_script(main)
