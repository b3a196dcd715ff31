"""Reads the clips of a prepared data set.

Opening one reads the list of clips and maps the table of frames. Of the record files, only the
bytes of the requested frames are read. Any number of threads may read.
"""

import functools
import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data.clip import Clip, Frames
from data.folder import SPLITS
from data.prepare.layout import (
    FORMAT_VERSION,
    FRAME,
    INFO,
    SETTINGS,
    UNFINISHED,
    clips_file,
    frames_file,
)
from data.sampling import ordered
from tpsm_jax.errors import InputError, reason
from tpsm_jax.media.picture_opening import UNREADABLE
from tpsm_jax.media.pillow_warnings import quiet_pillow
from tpsm_jax.runtime.json_files import parse_json
from tpsm_jax.runtime.safe_names import safe_name

# The most record files that a process keeps open; some systems allow only 1024.
OPEN_FILES = 256
_LARGEST_RATE = 1e6  # frames per second


class PreparedClip(Clip):
    """A clip in a record file that holds several clips.

    Attributes:
      path: the record file.
      name: its name in the folder that it was prepared from.
      num_frames: number of frames.
      height: height of each frame in pixels.
      width: width of each frame in pixels.
    """

    def __init__(self, path: Path, entry: dict[str, Any], frames: np.ndarray):
        """Stores the places of the frames.

        Args:
          path: the record file.
          entry: its entry in the list of clips.
          frames: [num_frames] FRAME, its part of the table of frames.
        """
        self.path = path
        self.name = str(entry["name"])
        self._identity = str(entry["identity"])
        self._frame_rate = float(entry["frame_rate"])
        if not 0 <= self._frame_rate < _LARGEST_RATE:
            raise ValueError(f"the frame rate {self._frame_rate}")
        self.num_frames = int(entry["num_frames"])
        self.height, self.width = int(entry["height"]), int(entry["width"])
        self._frames = frames

    @property
    def has_one_frame(self) -> bool:
        return self.num_frames == 1

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def frame_rate(self) -> float:
        return self._frame_rate

    def frames(self) -> Iterator[np.ndarray]:
        return (self._frame(index) for index in range(self.num_frames))

    def pair(self, first: float, second: float) -> Frames:
        earlier, later = ordered(first, second, self.num_frames)
        frame = self._frame(earlier)
        return frame, frame if later == earlier else self._frame(later)

    def encoded(self, index: int) -> bytes:
        """The bytes of a frame, JPEG or PNG.

        Args:
          index: number of the frame, in [0, num_frames).

        Raises:
          InputError: they cannot be read, or are not those that were written.
        """
        offset, length, crc32 = self._frames[index].tolist()
        try:
            file = _open(str(self.path))  # this reference keeps it open while it is read
            # A damaged index may ask for 4 GiB.
            data = os.pread(file.descriptor, min(length, file.size), offset)
        except (OSError, OverflowError) as error:
            raise InputError(f"cannot read {self._describe(index)}: {reason(error)}") from None
        if zlib.crc32(data) != crc32 or len(data) != length:
            raise InputError(
                f"{self._describe(index)} is not what was written there: the file or its index is "
                "damaged; copy both again, or delete the folder and prepare it again"
            )
        return data

    def _frame(self, index: int) -> np.ndarray:
        quiet_pillow()
        try:
            with Image.open(io.BytesIO(self.encoded(index)), formats=("JPEG", "PNG")) as image:
                frame = np.array(image)
        except UNREADABLE as error:
            raise InputError(f"cannot decode {self._describe(index)}: {error}") from None
        if frame.shape != (self.height, self.width, 3):
            raise InputError(f"{self._describe(index)} has the shape {frame.shape}, not the clip's")
        return frame

    def _describe(self, index: int) -> str:
        return f"frame {index} of the clip {self.name} in {self.path}"


def is_prepared(path: str | Path) -> bool:
    """Whether `data.prepare` has made, or begun, a data set in this folder."""
    return (Path(path) / SETTINGS).is_file()


def open_prepared(path: str | Path, split: str, *, allow_broken: bool = False) -> list[Clip]:
    """The clips of a split of a prepared data set, sorted by name.

    Args:
      path: the folder, for which `is_prepared` is true.
      split: 'train' or 'test'.
      allow_broken: whether clips of record files that are missing or truncated are returned too.

    Returns:
      At least one clip, each a `PreparedClip`.

    Raises:
      InputError: the data set is not finished or has no such split; a record file is missing or
        truncated; the index is missing or damaged; a name in the list of either split leads out of
        a folder.
    """
    root = Path(path)
    settings = _load_json(root / SETTINGS, f"{root} is no prepared data set")
    if settings.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"{root} was prepared in format {settings.get('format_version')}, and this code reads "
            f"{FORMAT_VERSION}: prepare it again"
        )
    if not (root / INFO).is_file():
        # If only that file was lost, the folder of unfinished work does not exist either.
        done = (
            f"{root} lacks {INFO}" if not (root / UNFINISHED).exists() else f"{root} is unfinished"
        )
        raise InputError(f"{done}: run the same command of data.prepare again")
    splits = settings.get("splits", {})
    if split not in splits:
        raise InputError(f"{root} has no split {split!r}, only {', '.join(map(repr, splits))}")
    listing = clips_file(root, split)
    listed = _load_json(listing, f"{root} lacks {listing.name}")
    for other in SPLITS:
        if other != split:
            _check_other_names(clips_file(root, other))
    try:
        return _clips(root, listing, split, listed, allow_broken)
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{listing} is damaged ({error!r}): copy it again, or prepare {root} again"
        ) from None


def _clips(
    root: Path, listing: Path, split: str, listed: dict[str, Any], allow_broken: bool
) -> list[Clip]:
    paths = []
    for shard in listed["shards"]:
        paths.append(root / safe_name(str(shard["file"]), f"a record file in {listing}"))
        if not allow_broken:
            _check_size(paths[-1], int(shard["bytes"]))
    table = _open_table(frames_file(root, split))
    clips: list[Clip] = []
    for entry in listed["clips"]:
        first, count = int(entry["first_frame"]), int(entry["num_frames"])
        if not 0 <= first < first + count <= len(table):
            raise ValueError(f"frames of {entry['name']}")
        safe_name(str(entry["name"]), f"a clip in {listing}")
        clips.append(PreparedClip(paths[entry["shard"]], entry, table[first : first + count]))
    if not clips:
        raise ValueError("no clip")
    return clips


def _check_other_names(listing: Path) -> None:
    """Checks the names in the list of a split that is not read now, if it is there and whole.

    Raises:
      InputError: one leads out of a folder.
    """
    try:
        listed = parse_json(listing.read_text())
        files = [str(shard["file"]) for shard in listed["shards"]]
        clips = [str(entry["name"]) for entry in listed["clips"]]
    except (OSError, ValueError, TypeError, KeyError):
        return  # reading that split reports it
    for name in files:
        safe_name(name, f"a record file in {listing}")
    for name in clips:
        safe_name(name, f"a clip in {listing}")


def _check_size(path: Path, size: int) -> None:
    try:
        found = path.stat().st_size
    except OSError as error:
        raise InputError(
            f"the record file {path} cannot be opened ({error.strerror}): copy it again, or delete "
            "the folder and prepare it again"
        ) from None
    if found != size:
        raise InputError(
            f"the record file {path} has {found} bytes instead of {size}: copy it again, or delete "
            "the folder and prepare it again"
        )


def _open_table(path: Path) -> np.ndarray:
    try:
        table = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy parses the header as Python, which fails in many ways
        raise InputError(
            f"the index {path} cannot be read ({error}): copy it again, or delete the folder and "
            "prepare it again"
        ) from None
    if table.dtype != FRAME or table.ndim != 1:
        raise InputError(f"the index {path} is no table of frames: copy it again")
    return table.view(np.ndarray)  # its slices take a fifth of the memory of a memmap's


def _load_json(path: Path, missing: str) -> dict[str, Any]:
    try:
        loaded = parse_json(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{missing}: make it with python -m data.prepare") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {reason(error)}") from None
    if not isinstance(loaded, dict):
        raise InputError(f"{path} is not what data.prepare writes")
    return loaded


class _OpenFile:
    """A file descriptor that closes when the last thread drops its reference."""

    def __init__(self, path: str):
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self.descriptor).st_size

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


_open = functools.lru_cache(maxsize=OPEN_FILES)(_OpenFile)
