"""Writes a table of the key points in every frame of a folder of clips.

  python -m detectors.table --input CLIPS --output faces.npz

CLIPS is a folder whose entries are one clip each: a wide picture of frames side by side, as eval.py
writes them, a video, or a folder of frames. Clips that cannot be read are named and left out.
docs/evaluation.md has the table's format.
"""

import argparse
import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data.clips import STRIP_SUFFIXES, VIDEO_SUFFIXES, Clip, FolderClip, StripClip, VideoClip, fit
from detectors.interface import Detection, Detector, make_detector
from tpsm_jax.errors import ArgumentParser, InputError, run_script

KINDS = {"face": "detectors.mediapipe_keypoints:Face", "body": "detectors.mediapipe_keypoints:Body"}
NOT_FOUND = -1.0  # the value where nothing was found, as in pose-evaluation's tables
Table = dict[str, np.ndarray]


def main() -> None:
    """Parses the flags, looks at every frame, writes the table and says what was not found."""
    args = parse_arguments()
    output = Path(args.output)
    if output.suffix != ".npz" or output.is_dir():
        raise InputError(f"the table {output} has to be named as a file, with the suffix .npz")
    if not output.parent.is_dir():
        raise InputError(f"there is no folder {output.parent} to write {output.name} to")
    clips = find_clips(Path(args.input), args.frame_shape)
    detector = make_detector(args.detector or KINDS[args.kind])
    table = detect_all(clips, detector, args.frame_shape if args.resize else None)
    write_table(output, table)
    print(f"wrote {output}: {detector.name}")
    for line in not_found(table):
        print(line)


def find_clips(folder: Path, frame_shape: tuple[int, int]) -> list[Clip]:
    """The clips in a folder, or in its test/ where it has one, sorted by name.

    Args:
      folder: holds wide pictures, videos and folders of frames; other files are passed over.
      frame_shape: (height, width) of the frames of wide pictures; only their proportions count.

    Returns:
      At least one clip.

    Raises:
      InputError: there is no such folder, or no clip in it.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder of clips {folder}")
    folder = folder / "test" if (folder / "test").is_dir() else folder
    clips: list[Clip] = []
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            clips.append(FolderClip(path))
        elif path.suffix.lower() in STRIP_SUFFIXES:
            clips.append(StripClip(path, frame_shape, height_is_known=False))
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            clips.append(VideoClip(path))
    if not clips:
        raise InputError(f"{folder} holds no clip: wide pictures, videos, or folders of frames")
    return clips


def detect_all(clips: list[Clip], detector: Detector, size: tuple[int, int] | None) -> Table:
    """Looks at every frame of every clip.

    Args:
      clips: in the order of the table.
      detector: what looks.
      size: (height, width) that frames are resized to before, or None for their own.

    Returns:
      The table, see `docs/evaluation.md`. Clips that cannot be read are told on stderr and in
      `broken`.

    Raises:
      InputError: no clip could be read.
      ValueError: the detector's arrays have other shapes than it says.
    """
    names: list[str] = []
    numbers: list[int] = []
    detections: list[Detection | None] = []
    broken: list[str] = []
    with tqdm(unit="frame", mininterval=0.5) as progress:
        for position, clip in enumerate(clips, 1):
            progress.set_description(f"clip {position}/{len(clips)}")
            try:
                of_clip = list(_detect(clip, detector, size, progress))
            except InputError as error:
                broken.append(clip.name)
                progress.write(f"left out: {error}", file=sys.stderr)
                continue
            names += [clip.name] * len(of_clip)
            numbers += range(len(of_clip))
            detections += of_clip
    if not detections:
        raise InputError(f"none of the {len(clips)} clips could be read")
    value, found = _arrays(detections, len(detector.keypoints))
    return {
        "file_name": np.array(names),
        "frame_number": np.array(numbers),
        "value": value,
        "found": found,
        "keypoint": np.array(detector.keypoints, dtype=str),
        "detector": np.array(detector.name),
        "broken": np.array(broken, dtype=str),
    }


def not_found(table: Table) -> Iterator[str]:
    """Lines that tell how many frames nothing was found in, and which."""
    found = table["found"].reshape(len(table["found"]), -1)
    empty = np.logical_not(found.any(axis=1))
    yield f"nothing found in {empty.sum()} of {len(empty)} frames"
    if not found.all() and not empty.all():
        yield f"points found in the other frames: {found[~empty].mean():.1%}"
    for name in np.unique(table["file_name"][empty]):
        of_clip = table["file_name"] == name
        numbers = table["frame_number"][empty & of_clip]
        yield f"  {name}: {len(numbers)} of {of_clip.sum()} frames: {_ranges(numbers.tolist())}"
    if len(table["broken"]):
        yield f"clips left out, which cannot be read: {', '.join(table['broken'])}"


def write_table(path: Path, table: Table) -> None:
    """Writes a table beside its place and moves it there.

    Args:
      path: the .npz file; an older one is replaced.
      table: as `detect_all` makes it.

    Raises:
      OSError: it cannot be written; what was there stays.
    """
    unfinished = path.with_name(f".{path.stem}-{uuid.uuid4().hex[:8]}.npz")
    try:
        np.savez_compressed(unfinished, **table)  # type: ignore[arg-type]
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def parse_arguments() -> argparse.Namespace:
    """The flags; `frame_shape` as (height, width)."""
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add("--input", required=True, help="folder of clips, or one that has them in test/")
    add("--output", required=True, help="the table, .npz")
    add("--kind", choices=sorted(KINDS), default="face", help="what MediaPipe looks for (face)")
    add("--detector", metavar="MODULE:CLASS", help="a detector of your own, instead of --kind")
    add(
        "--frame_shape",
        type=parse_shape,
        default=(256, 256),
        metavar="HEIGHT,WIDTH",
        help="of the model's frames (256,256); wide pictures are cut in these proportions",
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


def _detect(
    clip: Clip, detector: Detector, size: tuple[int, int] | None, progress: tqdm
) -> Iterator[Detection | None]:
    for frame in clip.frames():
        frame = frame if size is None else fit(frame, size)
        yield _checked(detector.detect(np.ascontiguousarray(frame)), detector)
        progress.update()


def _checked(detection: Detection | None, detector: Detector) -> Detection | None:
    if detection is None:
        return None
    points = len(detector.keypoints)
    shapes = np.shape(detection.value), np.shape(detection.found)
    if shapes != (((points, 2), (points,)) if points else (shapes[0][:1], ())):
        raise ValueError(
            f"{detector.name}: value and found of {points or 'no'} points have shapes {shapes}"
        )
    return detection


def _arrays(detections: list[Detection | None], points: int) -> tuple[np.ndarray, np.ndarray]:
    """The columns `value` and `found`; `points` is 0 for embeddings."""
    present = {row: detection for row, detection in enumerate(detections) if detection is not None}
    length = next((len(detection.value) for detection in present.values()), 0)
    shape = (points, 2) if points else (length,)
    value = np.full((len(detections), *shape), NOT_FOUND, np.float32)
    found = np.zeros((len(detections), *shape[:-1]), bool)
    for row, detection in present.items():
        found[row] = detection.found
        value[row] = np.where(found[row][..., None], detection.value, NOT_FOUND)
    return value, found


def _ranges(numbers: list[int]) -> str:
    """Ascending numbers as '0-3, 7'."""
    present = set(numbers)
    starts = [n for n in numbers if n - 1 not in present]
    ends = [n for n in numbers if n + 1 not in present]
    pairs = zip(starts, ends, strict=True)
    return ", ".join(f"{start}-{end}" if end > start else f"{start}" for start, end in pairs)


if __name__ == "__main__":
    run_script(main)
