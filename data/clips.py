"""The kinds of clips: a folder of frames, a video, one wide picture.

A new kind is a class here and an entry of `CLIP_KINDS`. Frames may be gray, palette or RGBA; they
are read as RGB.
"""

import functools
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np

from data.clip import Clip, Frames
from data.sampling import ordered
from data.video_frames import FrameIndex, read_frames
from data.wide_pictures import WidePictures, is_moving
from tpsm_jax.errors import InputError
from tpsm_jax.media.images import read_image, read_wide_picture
from tpsm_jax.media.picture_folder import (
    PICTURE_SUFFIXES,
    count_kinds,
    describe_kinds,
    frame_names,
    is_picture,
)
from tpsm_jax.media.video_reader import VIDEO_SUFFIXES, FrameSource, open_video


class FolderClip(Clip):
    """A folder of pictures, in natural order of their names. `pair` opens only two files."""

    @classmethod
    def is_at(cls, path: Path) -> bool:
        """Whether a path is a folder. Its name may end like a video's."""
        return path.is_dir()

    @functools.cached_property
    def contents(self) -> tuple[int, Counter[str]]:
        """The number of pictures, and what is passed over, by kind.

        Raises:
          OSError: the folder cannot be listed.
        """
        names = os.listdir(self.path)
        others = [self.path / name for name in names if not is_picture(name)]
        return len(names) - len(others), count_kinds(others)

    def problem(self) -> str:
        try:
            pictures, others = self.contents
        except OSError as error:
            return f"cannot read the folder {self.path}: {error.strerror}"
        if pictures:
            return ""
        holds = f" but with {describe_kinds(others)}" if others else ""
        return (
            f"the clip {self.path} is a folder without a picture{holds}: fill it with the frames "
            f"of one clip, or take it away; a video goes into {self.path.parent} itself"
        )

    @property
    def has_one_frame(self) -> bool:
        try:
            return self.contents[0] == 1
        except OSError:
            return False

    @property
    def frame_count(self) -> int | None:
        return len(self._names())

    def frames(self) -> Iterator[np.ndarray]:
        return (read_image(self.path / name) for name in self._names())

    def pair(self, first: float, second: float) -> Frames:
        names = self._names()
        earlier, later = (names[index] for index in ordered(first, second, len(names)))
        return read_image(self.path / earlier), read_image(self.path / later)

    def _names(self) -> list[str]:
        # Listed every time: 0.5 ms for 1,000 frames, while two pictures take 3.5 ms. The names of a
        # large data set would fill the memory, and a cache of some would rarely be hit.
        try:
            names = frame_names(os.listdir(self.path))
        except OSError as error:
            raise InputError(f"cannot read the clip {self.path}: {error.strerror}") from None
        if not names:
            raise InputError(f"the clip {self.path} is a folder without a picture")
        return names


class VideoClip(Clip):
    """A video or animated picture. `pair` decodes what its two frames of a plain video depend on.

    Animated pictures, and videos that are damaged or of variable rate (see `data.video_frames`),
    are decoded from the start to the later frame, and once more for the first pair, to count them.
    Of a truncated file, `pair` uses the part that can be read; `frames`, which metrics are computed
    from, raises an error. What is learned about a file is kept, a few hundred bytes.
    """

    suffixes = VIDEO_SUFFIXES

    def __init__(self, path: Path):
        super().__init__(path)
        self._index_is_read = False
        self._index: FrameIndex | None = None
        self._opened: tuple[FrameSource, int] | None = None
        self._pixel_aspect: float | None = None

    @property
    def frame_rate(self) -> float:
        return self._open().fps

    @property
    def pixel_aspect(self) -> float:
        return self._pixel_aspect or self._open().pixel_aspect

    @property
    def frame_count(self) -> int | None:
        if self._opened is not None:  # then the last pair was not found by the index
            return self._opened[1]
        return None if self._index is None else self._index.count

    def frames(self) -> Iterator[np.ndarray]:
        return iter(self._open(whole=True))

    def pair(self, first: float, second: float) -> Frames:
        if not self._index_is_read:
            self._index = FrameIndex.of(self.path)
            if self._index is not None and self._index.pixel_aspect == 1:
                self._pixel_aspect = 1.0  # of others, only a frame tells whether it is turned
            self._index_is_read = True
        if self._index is not None:
            earlier, later = ordered(first, second, self._index.count)
            found = read_frames(self.path, self._index, {earlier, later})
            if found is not None:
                return found[earlier], found[later]
        return self._pair_from_start(first, second)

    def _open(self, *, whole: bool = False) -> FrameSource:
        video = open_video(self.path, whole=whole)
        self._pixel_aspect = video.pixel_aspect
        return video

    def _pair_from_start(self, first: float, second: float) -> Frames:
        if self._opened is None:
            video = self._open()
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
    """One wide picture of frames next to each other, or an animated one, by what is in the file."""

    suffixes = PICTURE_SUFFIXES - {".gif"}

    def __init__(self, path: Path, wide_pictures: WidePictures):
        """Stores the path and how the picture is cut; opens nothing."""
        super().__init__(path)
        self._cut = wide_pictures
        self._video = VideoClip(path)  # in use where it moves

    @classmethod
    def from_path(cls, path: Path, wide_pictures: WidePictures) -> Self:
        return cls(path, wide_pictures)

    @functools.cached_property
    def has_one_frame(self) -> bool:
        return self._cut.is_single(self.path)

    @property
    def frame_rate(self) -> float:
        return self._video.frame_rate if self._is_moving else 0.0

    @property
    def pixel_aspect(self) -> float:
        return self._video.pixel_aspect if self._is_moving else 1.0

    def frames(self) -> Iterator[np.ndarray]:
        if self._is_moving:
            return self._video.frames()
        return iter(self._cut.split(read_wide_picture(self.path), self.path))

    def pair(self, first: float, second: float) -> Frames:
        return (self._video.pair if self._is_moving else super().pair)(first, second)

    @functools.cached_property
    def _is_moving(self) -> bool:
        return is_moving(self.path)


# A folder named like a video is a folder, so that kind comes first.
CLIP_KINDS: tuple[type[Clip], ...] = (FolderClip, StripClip, VideoClip)


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
