"""What a clip is to those that read it; `data.clips` has the kinds of clips."""

import abc
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from data.sampling import ordered
from data.wide_pictures import WidePictures

Frames = tuple[np.ndarray, np.ndarray]


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
    def has_one_frame(self) -> bool:
        """Whether the clip plainly has a single frame; False if only decoding would tell."""
        return False

    @property
    def frame_count(self) -> int | None:
        """The number of frames, or None if it is not known before all of them are read."""
        return None

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

    @property
    def pixel_aspect(self) -> float:
        """The width of a pixel over its height; frames are as stored, whatever it is."""
        return 1.0

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


def clip_suffixes() -> frozenset[str]:
    """The suffixes of files of all kinds of clips, in lower case."""
    from data.clips import CLIP_KINDS  # which imports this file

    return frozenset().union(*(kind.suffixes for kind in CLIP_KINDS))
