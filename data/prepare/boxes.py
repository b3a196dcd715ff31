"""Cuts clips out of raw videos by a table of boxes.

The tables are those of GitHub AliaksandrSiarohin/video-preprocessing (vox-metadata.csv,
taichi-metadata.csv), with a line per clip:
  video_id             the video is VIDEO_ID.mp4, without the part from a '#' on
  start, end           frames of a video of `fps` frames per second; the end is not in the clip
  bbox                 left-top-right-bottom in pixels of a video of `width` x `height`
  fps, width, height   the video's, when the box was found
  partition            train or test
  person_id            optional, the identity
A clip's name is PERSON_ID#VIDEO_ID#START#END.mp4, the numbers with six digits.
"""

import csv
import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from data.clip import Clip
from data.folder import SPLITS
from tpsm_jax.errors import InputError, reason
from tpsm_jax.media.video_reader import VIDEO_SUFFIXES, FrameSource, open_video
from tpsm_jax.runtime.safe_names import safe_name

_LARGEST = 2**31  # of all numbers: larger ones overflow
COLUMNS = ("video_id", "start", "end", "bbox", "fps", "width", "height", "partition")


@dataclasses.dataclass(frozen=True)
class Box:
    """The part of a video that a clip is cut from.

    Attributes:
      start: the first frame, at `fps`.
      end: the frame after the last, at `fps`.
      left: the first column, in pixels of a video of `width` x `height`.
      top: the first row, in the same pixels.
      right: the column after the last.
      bottom: the row after the last.
      fps: frames per second that `start` and `end` count.
      width: columns of the video that the box was found in.
      height: rows of that video.
    """

    start: float
    end: float
    left: int
    top: int
    right: int
    bottom: int
    fps: float
    width: int
    height: int

    def holds(self, index: float, fps: float) -> bool:
        """Whether frame `index` of a video of `fps` frames per second is in the clip.

        Where frames come at odd times, it is a frame's place at the mean rate, not its number.
        """
        return self.start * fps <= index * self.fps < self.end * fps

    def crop(self, frame: np.ndarray) -> np.ndarray:
        """Cuts the box out of a frame [H, W, 3] of any size.

        Raises:
          InputError: no pixel of the frame is in the box.
        """
        rows, columns = frame.shape[:2]
        across, down = self.width / columns, self.height / rows
        part = frame[
            int(self.top / down) : int(self.bottom / down),
            int(self.left / across) : int(self.right / across),
        ]
        if not part.size:
            raise InputError(
                f"the box {self.left}-{self.top}-{self.right}-{self.bottom} of a video of "
                f"{self.width} x {self.height} is empty"
            )
        return part


class BoxClip(Clip):
    """A part of a video. `path` is the path of the whole video."""

    def __init__(self, path: Path, name: str, box: Box):
        """Stores the video's path, the clip's name and its box."""
        self.path, self.name, self.box = path, name, box

    @property
    def recipe(self) -> str:
        """All that the clip depends on except its name."""
        return str(self.box)

    @property
    def identity(self) -> str:
        return self.name.removesuffix(".mp4").split("#")[0]

    def expected_frames(self, fps: float) -> int:
        """The number of frames in a video of `fps` frames per second that is long enough."""
        first, last = (math.ceil(at * fps / self.box.fps) for at in (self.box.start, self.box.end))
        return last - first

    def frames(self) -> Iterator[np.ndarray]:
        return (
            self.box.crop(frame) for _, frame in frames_within(open_video(self.path), [self.box])
        )


def frames_within(video: FrameSource, boxes: Sequence[Box]) -> Iterator[tuple[int, np.ndarray]]:
    """The frames of several clips of one video, which is decoded once, up to the last of them.

    Args:
      video: the whole video.
      boxes: the boxes of the clips.

    Yields:
      The number of a box, and its next frame, not cropped, [H, W, 3] uint8. Source: load_videos.py
      of the same repository.
    """
    last = max(box.end * video.fps / box.fps for box in boxes)
    for time, frame in video.timed():
        index = round(time * video.fps, 4)
        if index >= last:
            return
        for number, box in enumerate(boxes):
            if box.holds(index, video.fps):
                yield number, frame


def find_boxes(table: Path, videos: Path) -> dict[str, list[Clip]]:
    """The clips of a table.

    Args:
      table: the CSV.
      videos: folder of the raw videos. Some may be missing: reading their clips raises an error.

    Returns:
      The clips of each split that the table names, sorted by name. A repeated line counts once.
      Like in the reference, all clips of a video are in the split of its first line.

    Raises:
      InputError: the table cannot be read, or a line of it is malformed.
    """
    splits: dict[str, dict[str, BoxClip]] = {}
    partitions: dict[str, str] = {}
    files: dict[str, Path] = {}
    for line, row in _rows(table):
        try:
            clip = _clip(row, videos, files, f"{table}, line {line}")
            split = partitions.setdefault(row["video_id"], row["partition"])
            if split not in SPLITS:
                raise ValueError(f"the partition {split!r}")
        except ValueError as error:
            raise InputError(f"{table}, line {line}: {error} makes no sense") from None
        there = splits.setdefault(split, {}).setdefault(clip.name, clip)
        if there.box != clip.box:
            raise InputError(f"{table}, line {line}: a clip {clip.name} was named before")
    if not splits:
        raise InputError(f"{table} names no clip")
    return {
        split: [splits[split][name] for name in sorted(splits[split])]
        for split in SPLITS
        if split in splits
    }


def _rows(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            lacking = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if lacking:
                raise InputError(f"{table} lacks the column {lacking[0]}: it is no table of boxes")
            for row in reader:
                if None in row or None in row.values():
                    raise InputError(
                        f"{table}, line {reader.line_num}: not as many fields as names"
                    )
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the table of boxes {table}: {reason(error)}") from None


def _clip(row: dict[str, str], videos: Path, files: dict[str, Path], where: str) -> BoxClip:
    edges = row["bbox"].split("-")
    if len(edges) != 4:
        raise ValueError(f"the box {row['bbox']!r}")
    left, top, right, bottom = map(int, edges)
    box = Box(
        *(float(row["start"]), float(row["end"]), left, top, right, bottom, float(row["fps"])),
        *(int(row["width"]), int(row["height"])),
    )
    if not (
        0 <= box.start < box.end < _LARGEST
        and 1 / _LARGEST < box.fps < _LARGEST
        and 0 < box.width < _LARGEST
        and 0 < box.height < _LARGEST
        and max(left, top, right, bottom) < _LARGEST
    ):
        raise ValueError(f"the clip from {row['start']} to {row['end']} at {row['fps']} a second")
    parts = row["video_id"].split("#")
    video = parts[0]
    if not video or "/" in row["video_id"]:
        raise ValueError(f"the video {row['video_id']!r}")
    safe_name(f"{video}.mp4", f"{where}: the video")
    person = [row["person_id"]] if row.get("person_id") else []
    name = "#".join([*person, *parts[::-1], row["start"].zfill(6), row["end"].zfill(6)]) + ".mp4"
    safe_name(name, f"{where}: the clip")
    if video not in files:
        files[video] = _video_file(videos, video)
    return BoxClip(files[video], name, box)


def _video_file(videos: Path, video: str) -> Path:
    for suffix in (".mp4", *sorted(VIDEO_SUFFIXES)):
        if (path := videos / (video + suffix)).exists():
            return path
    return videos / f"{video}.mp4"
