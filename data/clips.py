"""The kinds of clips: a folder of frames, a video, one wide picture.

A new kind is a class here and an entry of `CLIP_KINDS`. Frames may be gray, palette or RGBA; they
are read as RGB.
"""

import abc
import dataclasses
import os
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from data.video_frames import FrameIndex, read_frames
from tpsm_jax.errors import InputError
from tpsm_jax.media.images import read_image, read_wide_picture, resize
from tpsm_jax.media.video_reader import PICTURE_SUFFIXES, VIDEO_SUFFIXES, FrameSource, open_video

_PICTURE_ENDINGS = tuple(PICTURE_SUFFIXES)

Frames = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class WidePictures:
    """How wide pictures are cut into frames.

    Attributes:
      frame_size: (height, width) of a frame.
      height_is_known: whether the picture must have that height. If not, only the proportions of
        `frame_size` count.
    """

    frame_size: tuple[int, int]
    height_is_known: bool


class Clip(abc.ABC):
    """A clip on disk. Nothing is opened before it is read, and nothing stays open.

    Attributes:
      suffixes: the endings of a file of this kind, in lower case; empty where it is no file.
      path: the file or folder.
      name: the last part of `path`, suffix included.
    """

    suffixes: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, path: Path):
        """Stores the path; opens nothing."""
        self.path = path
        self.name = path.name

    @classmethod
    def is_at(cls, path: Path) -> bool:
        """Whether a path is a clip of this kind, judged by its name."""
        return path.suffix.lower() in cls.suffixes

    @classmethod
    def from_path(cls, path: Path, wide_pictures: WidePictures) -> Self:
        """Makes the clip. Only wide pictures need `wide_pictures`."""
        del wide_pictures
        return cls(path)

    def problem(self) -> str:
        """Why the clip is plainly unusable, without reading a frame; "" if it seems usable."""
        return ""

    @property
    def identity(self) -> str:
        """Who is seen: the name up to '#', without the suffix of a clip."""
        known = self.path.suffix.lower() in clip_suffixes()
        return (self.path.stem if known else self.name).split("#")[0]

    @property
    def frame_rate(self) -> float:
        """Frames per second, 0 if unknown.

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
        """Reads two frames, which may be the same one. This version reads all frames.

        Args:
          first: in [0, 1); chooses frame floor(first * n) of the n frames.
          second: in [0, 1); chooses the other frame in the same way.

        Returns:
          The earlier and the later of the two, [H, W, 3] uint8 at their own size.

        Raises:
          InputError: the clip, which is named, cannot be read.
        """
        frames = list(self.frames())
        earlier, later = ordered(first, second, len(frames))
        return frames[earlier], frames[later]


class FolderClip(Clip):
    """A folder of pictures, ordered by name. `pair` opens only two files."""

    @classmethod
    def is_at(cls, path: Path) -> bool:
        """Whether a path is a folder. Its name may end like a video's."""
        return path.is_dir()

    def problem(self) -> str:
        try:
            has_picture = any(map(_is_picture, os.listdir(self.path)))
        except OSError as error:
            return f"cannot read the folder {self.path}: {error.strerror}"
        if has_picture:
            return ""
        return f"the clip {self.path} is a folder without a picture: fill it, or take it away"

    def frames(self) -> Iterator[np.ndarray]:
        return (read_image(self._file(name)) for name in self._names())

    def pair(self, first: float, second: float) -> Frames:
        names = self._names()
        earlier, later = (names[index] for index in ordered(first, second, len(names)))
        return read_image(self._file(earlier)), read_image(self._file(later))

    def _names(self) -> list[str]:
        # The folder is listed every time: 0.5 ms for 1,000 frames, while two pictures take 3.5 ms.
        # Keeping the names of a large data set would fill the memory, and a cache of some of them
        # would rarely be hit.
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
    """A video or animated picture. `pair` decodes what its two frames of a plain video depend on.

    Animated pictures, and videos that are damaged or of variable rate (see `data.video_frames`),
    are decoded from the start to the later frame. Their number of frames is known only after a
    full pass, so the first pair takes two passes. Of a truncated file, `pair` uses
    the part that can be read; `frames`, which metrics are computed from, raises an error. What is
    learned about a file is kept, a few hundred bytes.
    """

    suffixes = VIDEO_SUFFIXES

    def __init__(self, path: Path):
        """Stores the path; opens nothing."""
        super().__init__(path)
        self._index_is_read = False
        self._index: FrameIndex | None = None
        self._opened: tuple[FrameSource, int] | None = None

    @property
    def frame_rate(self) -> float:
        return open_video(self.path).fps

    def frames(self) -> Iterator[np.ndarray]:
        return iter(open_video(self.path, whole=True))

    def pair(self, first: float, second: float) -> Frames:
        if not self._index_is_read:
            self._index = FrameIndex.of(self.path)
            self._index_is_read = True
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
    """One wide picture of frames next to each other."""

    suffixes = frozenset((".jpeg", ".jpg", ".png"))

    def __init__(self, path: Path, wide_pictures: WidePictures):
        """Stores the path and how the picture is cut; opens nothing."""
        super().__init__(path)
        self._cut = wide_pictures

    @classmethod
    def from_path(cls, path: Path, wide_pictures: WidePictures) -> Self:
        return cls(path, wide_pictures)

    def frames(self) -> Iterator[np.ndarray]:
        return iter(self._split())

    def _split(self) -> list[np.ndarray]:
        strip = read_wide_picture(self.path)
        rows, columns = strip.shape[:2]
        height, width = self._cut.frame_size
        if not self._cut.height_is_known:
            height, width = rows, max(1, round(rows * width / height))
        if rows != height or columns % width:
            raise InputError(
                f"the clip {self.path}, {columns} x {rows} pixels, is not made of frames of "
                f"{width} x {height}: it is dataset_params.frame_shape of the configuration that "
                "gives their (height, width, 3)"
            )
        return np.split(strip, columns // width, axis=1)


# A folder named like a video is a folder, so that kind comes first.
CLIP_KINDS: tuple[type[Clip], ...] = (FolderClip, VideoClip, StripClip)


def clip_suffixes() -> frozenset[str]:
    """The suffixes of files of all kinds of clips, in lower case."""
    return frozenset().union(*(kind.suffixes for kind in CLIP_KINDS))


def open_clip(path: Path, wide_pictures: WidePictures) -> Clip | None:
    """The clip at a path, not read yet.

    Args:
      path: an entry of a folder of clips.
      wide_pictures: how wide pictures are cut.

    Returns:
      The clip, or None: the path is no clip of any kind in `CLIP_KINDS`.
    """
    for kind in CLIP_KINDS:
        if kind.is_at(path):
            return kind.from_path(path, wide_pictures)
    return None


def fit(frame: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Resizes a frame to the size that the model takes.

    Args:
      frame: [H, W, 3] uint8.
      image_size: (height, width).

    Returns:
      [height, width, 3] uint8, resized like the reference and rounded to nearest; the frame itself
      if it has that size. (The reference resizes only if `frame_shape` is set. Otherwise it fails,
      or trains at the clip's own size.)
    """
    height, width = image_size
    if frame.shape[:2] == (height, width):
        return frame
    return np.rint(resize(frame, height, width).clip(0, 1) * 255).astype(np.uint8)


def ordered(first: float, second: float, count: int) -> list[int]:
    """Two numbers in [0, 1) as frame numbers below `count`, the smaller first."""
    return sorted((int(first * count), int(second * count)))


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(_PICTURE_ENDINGS)
