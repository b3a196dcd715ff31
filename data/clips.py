"""Finds the clips of a data set, and reads two frames of one.

A folder of clips has train/ and test/, or neither; for an evaluation test/ alone is enough. Each
entry there is one clip:
  - a folder of frames, in the order of their names; its own name may end in .mp4;
  - a video: .mp4, .gif, .mov, .avi, .m4v, .mkv or .webm;
  - one wide picture, .png or .jpg, of frames side by side.
Hidden entries (.DS_Store) and files of other kinds (a README, a list of boxes) are passed over.
Links are followed; one that leads nowhere is an error.
Frames may be grey, palette or RGBA; they are read as RGB.
"""

import abc
import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np

from data.video_frames import FrameIndex, read_frames
from tpsm_jax.errors import InputError
from tpsm_jax.media.images import read_image, read_wide_picture, resize
from tpsm_jax.media.video_reader import PICTURE_SUFFIXES, VIDEO_SUFFIXES, FrameSource, open_video

STRIP_SUFFIXES = frozenset((".jpeg", ".jpg", ".png"))
SPLITS = ("train", "test")
TEST_SHARE = 0.2  # of the clips of a folder without train/ and test/
_PICTURE_ENDINGS = tuple(PICTURE_SUFFIXES)

Frames = tuple[np.ndarray, np.ndarray]


class Clip(abc.ABC):
    """A clip on disk. Nothing is opened before it is read, and nothing stays open.

    Attributes:
      path: the file or folder.
      name: its name there, suffix included.
    """

    def __init__(self, path: Path):
        """Takes note of the path."""
        self.path = path
        self.name = path.name

    @property
    def identity(self) -> str:
        """Who is seen: the name up to '#', without the suffix of a clip."""
        known = self.path.suffix.lower() in VIDEO_SUFFIXES | STRIP_SUFFIXES
        return (self.path.stem if known else self.name).split("#")[0]

    @property
    def frame_rate(self) -> float:
        """Frames a second, 0 where it is not known.

        Raises:
          InputError: the clip, which is named, cannot be read.
        """
        return 0.0

    @abc.abstractmethod
    def frames(self) -> Iterator[np.ndarray]:
        """All frames in order, [H, W, 3] uint8 each, at their own size.

        Raises:
          InputError: the clip, which is named, cannot be read.
        """

    def pair(self, first: float, second: float) -> Frames:
        """Two frames, the same one twice perhaps; here by reading all.

        Args:
          first: in [0, 1): frame floor(first * n) of the n frames.
          second: likewise.

        Returns:
          The earlier and the later of the two, [H, W, 3] uint8 at their own size.

        Raises:
          InputError: the clip, which is named, cannot be read.
        """
        frames = list(self.frames())
        earlier, later = ordered(first, second, len(frames))
        return frames[earlier], frames[later]


class FolderClip(Clip):
    """A folder of pictures; of a pair only the two files are opened."""

    def frames(self) -> Iterator[np.ndarray]:
        """See `Clip`."""
        return (read_image(self._file(name)) for name in self._names())

    def pair(self, first: float, second: float) -> Frames:
        """See `Clip`."""
        names = self._names()
        earlier, later = (names[index] for index in ordered(first, second, len(names)))
        return read_image(self._file(earlier)), read_image(self._file(later))

    def _names(self) -> list[str]:
        # Listed anew each time: for 1,000 frames that takes 0.5 ms, the two pictures 3.5 ms. The
        # names of a large data set would fill the memory, and those of a part of it would hardly
        # ever be asked for again before they made room.
        try:
            names = sorted(filter(_is_picture, os.listdir(self.path)))
        except OSError as error:
            raise InputError(f"cannot read the clip {self.path}: {error.strerror}") from None
        if not names:
            raise InputError(f"the clip {self.path} is a folder without a picture")
        return names

    def _file(self, name: str) -> str:
        return os.path.join(self.path, name)


class VideoClip(Clip):
    """A video or gif. Of a plain video only what two frames hang on is decoded.

    Of a gif, and of a video that is damaged, turned or unsteady (see `data.video_frames`), Pillow
    or ffmpeg decode all from the start up to the later frame. How many frames such a clip has is
    known only once all have been decoded: the first pair takes two passes. Of a file that breaks
    off, pairs are of the part before; `frames`, which numbers are made of, tells it as an error.
    What was found out about a file is kept, some hundred bytes.
    """

    def __init__(self, path: Path):
        """Takes note of the path."""
        super().__init__(path)
        self._looked_at = False
        self._index: FrameIndex | None = None
        self._opened: tuple[FrameSource, int] | None = None

    @property
    def frame_rate(self) -> float:
        """See `Clip`."""
        return open_video(self.path).fps

    def frames(self) -> Iterator[np.ndarray]:
        """See `Clip`."""
        return iter(open_video(self.path, whole=True))

    def pair(self, first: float, second: float) -> Frames:
        """See `Clip`."""
        if not self._looked_at:
            is_gif = self.path.suffix.lower() == ".gif"
            self._index = None if is_gif else FrameIndex.of(self.path)
            self._looked_at = True
        if self._index is not None:
            earlier, later = ordered(first, second, self._index.count)
            found = read_frames(self.path, self._index, {earlier, later})
            if found is not None:
                return found[earlier], found[later]
        return self._pair_from_start(first, second)

    def _pair_from_start(self, first: float, second: float) -> Frames:
        if self._opened is None:
            video = open_video(self.path)
            self._opened = video, sum(1 for _ in video)
        video, count = self._opened
        earlier, later = ordered(first, second, count)
        with closing(iter(video)) as frames:  # type: ignore[type-var]  # a generator
            decoded = enumerate(islice(frames, later + 1))
            chosen = [frame for index, frame in decoded if index in (earlier, later)]
        if not chosen:
            raise InputError(f"the clip {self.path} changed while it was in use")
        return chosen[0], chosen[-1]


class StripClip(Clip):
    """One wide picture of frames side by side."""

    def __init__(self, path: Path, frame_size: tuple[int, int], height_is_known: bool):
        """Takes note of the path and of a frame's shape.

        Args:
          path: the picture.
          frame_size: (height, width) of a frame.
          height_is_known: whether the picture must be that high; if not, `frame_size` tells only
            how wide a frame is beside its height.
        """
        super().__init__(path)
        self._size, self._height_is_known = frame_size, height_is_known

    def frames(self) -> Iterator[np.ndarray]:
        """See `Clip`."""
        return iter(self._split())

    def pair(self, first: float, second: float) -> Frames:
        """See `Clip`."""
        frames = self._split()
        earlier, later = ordered(first, second, len(frames))
        return frames[earlier], frames[later]

    def _split(self) -> list[np.ndarray]:
        strip = read_wide_picture(self.path)
        rows, columns = strip.shape[:2]
        height, width = self._size
        if not self._height_is_known:
            height, width = rows, max(1, round(rows * width / height))
        if rows != height or columns % width:
            raise InputError(
                f"the clip {self.path}, {columns} x {rows} pixels, is not made of frames of "
                f"{width} x {height}: it is dataset_params.frame_shape of the configuration that "
                "tells their (height, width, 3)"
            )
        return np.split(strip, columns // width, axis=1)


def find_clips(
    root: Path,
    split: str,
    *,
    image_size: tuple[int, int],
    frame_shape: Sequence[int] | None = None,
    allow_empty_folders: bool = False,
    any_height: bool = False,
) -> list[Clip]:
    """The clips of a split, sorted by name.

    A folder without train/ and test/ is split by a digest of the names, one clip in five for
    testing: always the same ones, whatever the order of the folder. (The reference draws them with
    scikit-learn over the operating system's order, which differs from disk to disk.)

    Args:
      root: the folder.
      split: 'train' or 'test'.
      image_size: (height, width) that frames are resized to later.
      frame_shape: (height, width, ...) of the frames of wide pictures, or None for frames as high
        as the picture, in the proportions of `image_size`.
      allow_empty_folders: whether a folder of frames without a picture, or a link that leads
        nowhere, is a clip, which cannot be read; else it is an error.
      any_height: of `frame_shape` only the proportions count.

    Returns:
      At least one clip.

    Raises:
      InputError: there is no such folder, only one of train/ and test/ (test/ alone is enough for
        'test'), no clip, a folder of frames without a picture, or a link that leads nowhere.
      ValueError: for another split.
    """
    if split not in SPLITS:
        raise ValueError(f"split is 'train' or 'test', not {split!r}")
    if not root.is_dir():
        raise InputError(f"there is no folder of clips {str(root)!r}")
    size = image_size if frame_shape is None else (frame_shape[0], frame_shape[1])
    height_is_known = frame_shape is not None and not any_height

    present = [name for name in SPLITS if (root / name).is_dir()]
    if len(present) == 1 and not present == [split] == ["test"]:
        missing = next(name for name in SPLITS if name not in present)
        raise InputError(
            f"{root} has {present[0]}/ but no {missing}/: have both, or neither for a random split"
        )
    folder = root / split if present else root
    clips = [
        _open(path, size, height_is_known, allow_empty_folders)
        for path in sorted(_entries(folder), key=lambda path: path.name)
        if _is_clip(path)
    ]
    if not clips:
        raise InputError(f"{folder} holds no clip: folders of frames, videos, or wide pictures")
    return clips if present else _random_part(clips, split, root)


def group_by_identity(clips: list[Clip]) -> list[list[Clip]]:
    """The clips of each identity, whole names compared, sorted by identity.

    (The reference takes every file whose name begins with the identity's: id1 gets id10's too.)
    """
    groups: dict[str, list[Clip]] = {}
    for clip in clips:
        groups.setdefault(clip.identity, []).append(clip)
    return [groups[identity] for identity in sorted(groups)]


def fit(frame: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """A frame at the size the model takes.

    Args:
      frame: [H, W, 3] uint8.
      image_size: (height, width).

    Returns:
      [height, width, 3] uint8: resized as the reference resizes and rounded to nearest, or the
      frame itself. (The reference resizes only where `frame_shape` is set, and fails or trains at
      the clip's own size otherwise.)
    """
    height, width = image_size
    if frame.shape[:2] == (height, width):
        return frame
    return np.rint(resize(frame, height, width).clip(0, 1) * 255).astype(np.uint8)


def ordered(first: float, second: float, count: int) -> list[int]:
    """Two numbers in [0, 1) as frames of `count`, the earlier first."""
    return sorted((int(first * count), int(second * count)))


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(_PICTURE_ENDINGS)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise InputError(f"cannot read the folder {folder}: {error.strerror}") from None


def _is_clip(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    known = path.suffix.lower() in VIDEO_SUFFIXES | STRIP_SUFFIXES
    return known or path.is_dir() or _leads_nowhere(path)


def _leads_nowhere(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


def _open(
    path: Path, frame_size: tuple[int, int], height_is_known: bool, allow_empty: bool
) -> Clip:
    if _leads_nowhere(path) and not allow_empty:
        raise InputError(f"the clip {path} is a link that leads nowhere: mend it, or take it away")
    if path.is_dir():
        if not allow_empty and not any(_is_picture(entry.name) for entry in _entries(path)):
            raise InputError(
                f"the clip {path} is a folder without a picture: fill it, or take it away"
            )
        return FolderClip(path)
    if path.suffix.lower() in STRIP_SUFFIXES:
        return StripClip(path, frame_size, height_is_known)
    return VideoClip(path) if path.suffix.lower() in VIDEO_SUFFIXES else FolderClip(path)


def _random_part(clips: list[Clip], split: str, root: Path) -> list[Clip]:
    if len(clips) == 1:
        raise InputError(f"{root} holds one clip: without train/ and test/ one is kept for testing")
    digests = {clip.name: hashlib.sha256(os.fsencode(clip.name)).digest() for clip in clips}
    in_order = sorted(digests, key=digests.__getitem__)
    tested = set(in_order[: math.ceil(TEST_SHARE * len(clips))])
    return [clip for clip in clips if (clip.name in tested) == (split == "test")]
