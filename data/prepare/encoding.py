"""Decodes clips, resizes their frames and encodes them as JPEG, or losslessly as PNG."""

import dataclasses
import io
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from data.clip import Clip
from data.clips import VideoClip
from data.fitting import fit
from data.prepare.boxes import BoxClip, frames_within
from tpsm_jax.errors import InputError
from tpsm_jax.media.picture_opening import UNREADABLE
from tpsm_jax.media.proportions import is_squeezed
from tpsm_jax.media.video_reader import open_video

FORMATS = ("jpeg", "png")
# At this quality the error is below that of typical source video; docs/data.md lists sizes.
DEFAULT_QUALITY = 95
# Zlib's default level takes four times as long for files 2 % smaller. The pixels are the same.
_PNG_EFFORT = 2
# A container's number of frames is inexact: a clip is reported if more than this share is missing.
_TOLERANCE = 0.05
# The bytes of all frames of a clip: protobuf holds 2 GiB, and needs some for names and lengths.
LARGEST_CLIP = 2**31 - 2**20
_LENGTH = 8  # at most as many bytes say how long a frame is


@dataclasses.dataclass(frozen=True)
class Encoding:
    """The encoding of frames.

    Attributes:
      format: 'jpeg' or 'png'.
      quality: JPEG quality, 1 to 100.
      size: (height, width) that frames are resized to, or None to keep their size.
    """

    format: str
    quality: int
    size: tuple[int, int] | None

    def __call__(self, frame: np.ndarray) -> bytes:
        """Encodes a frame [H, W, 3] uint8 as the bytes of a file."""
        file = io.BytesIO()
        if self.format == "png":
            Image.fromarray(frame).save(file, "PNG", compress_level=_PNG_EFFORT)
        else:
            # Color has full resolution; at half of it, the edges of a cartoon bleed.
            Image.fromarray(frame).save(file, "JPEG", quality=self.quality, subsampling=0)
        return file.getvalue()


def squeezed_line(squeezed: int, count: int, encoding: Encoding) -> str:
    """Says how many of `count` clips lost their proportions when they were encoded."""
    of_all = f"{squeezed} of {count} clips had"
    if encoding.size is None:
        return (
            f"{of_all} pixels that are not square, and were squeezed to the size that they are "
            "stored at: make pixels square first to keep shapes"
        )
    height, width = encoding.size
    return (
        f"{of_all} other proportions than {width} x {height}, and were squeezed to that: crop "
        "them first to keep shapes"
    )


@dataclasses.dataclass
class EncodedClip:
    """A clip with encoded frames.

    Attributes:
      clip: the original.
      frame_rate: frames per second, 0 if unknown.
      expected: the number of frames that its file declares, or None.
      height: height of each frame in pixels.
      width: width of each frame in pixels.
      frames: the bytes of a JPEG or PNG each.
      size: bytes of all frames in a record.
      pixel_aspect: the width of a pixel of the original over its height.
      is_squeezed: whether a frame lost its proportions, when it was resized or because its pixels
        are not square.
    """

    clip: Clip
    frame_rate: float
    expected: int | None
    height: int = 0
    width: int = 0
    frames: list[bytes] = dataclasses.field(default_factory=list)
    size: int = 0
    pixel_aspect: float = 1.0
    is_squeezed: bool = False

    def add(self, frame: np.ndarray, encoding: Encoding) -> None:
        """Encodes the next frame.

        Raises:
          InputError: its size differs from the frames before, or a record cannot hold it, too.
        """
        size = encoding.size or frame.shape[:2]
        self.is_squeezed |= is_squeezed(frame.shape, size, self.pixel_aspect)
        if encoding.size is not None:
            frame = fit(frame, encoding.size)
        height, width = frame.shape[:2]
        if self.frames and (height, width) != (self.height, self.width):
            raise InputError(
                f"frame {len(self.frames)} of {self.clip.path} is {width} x {height} and those "
                f"before it {self.width} x {self.height}: give --size to bring all to one"
            )
        self.height, self.width = height, width
        self.frames.append(encoding(frame))
        self.size += len(self.frames[-1]) + _LENGTH
        if self.size > LARGEST_CLIP:
            raise InputError(
                f"{self.clip.path} takes more than the 2 GB that a record holds, from frame "
                f"{len(self.frames) - 1} on: cut it into shorter clips, or give a smaller --size "
                "or --quality"
            )

    @property
    def is_short(self) -> bool:
        """Whether frames are missing at the end, as in a truncated file."""
        return self.expected is not None and len(self.frames) < self.expected * (1 - _TOLERANCE) - 1


@dataclasses.dataclass(frozen=True)
class BrokenClip:
    """A clip that cannot be used, and the reason in one line."""

    clip: Clip
    reason: str


def encode_clips(clips: Sequence[Clip], encoding: Encoding) -> Iterator[EncodedClip | BrokenClip]:
    """Reads and encodes clips, holding one in memory, or all that are cut from one video.

    Args:
      clips: the clips, with those cut from one video in a row.
      encoding: encoding of the frames.

    Yields:
      One result per clip, in the same order.
    """
    for source, group in itertools.groupby(clips, _source_of):
        together = list(group)
        if isinstance(source, str):
            yield from _encode_boxes(together, encoding)  # type: ignore[arg-type]
        else:
            yield from (_encode_whole(clip, encoding) for clip in together)


def _source_of(clip: Clip) -> str | int:
    # Clips cut from one video are decoded together, all others alone.
    return str(clip.path) if isinstance(clip, BoxClip) else id(clip)


def _encode_whole(clip: Clip, encoding: Encoding) -> EncodedClip | BrokenClip:
    try:
        _check_name(clip)
        if isinstance(clip, VideoClip):
            video = open_video(clip.path)
            made = EncodedClip(clip, video.fps, video.frame_count, pixel_aspect=video.pixel_aspect)
            frames = iter(video)
        else:
            made = EncodedClip(clip, clip.frame_rate, None, pixel_aspect=clip.pixel_aspect)
            frames = clip.frames()
        for frame in frames:
            made.add(frame, encoding)
        return made
    except (InputError, *UNREADABLE) as error:
        return BrokenClip(clip, _one_line(error))


def _encode_boxes(clips: list[BoxClip], encoding: Encoding) -> list[EncodedClip | BrokenClip]:
    made: list[EncodedClip | BrokenClip] = []
    try:
        video = open_video(clips[0].path)
        for clip in clips:
            expected = clip.expected_frames(video.fps)
            made.append(EncodedClip(clip, video.fps, expected, pixel_aspect=video.pixel_aspect))
        for number, frame in frames_within(video, [clip.box for clip in clips]):
            current = made[number]
            if isinstance(current, BrokenClip):
                continue
            try:
                current.add(clips[number].box.crop(frame), encoding)
            except InputError as error:
                made[number] = BrokenClip(current.clip, _one_line(error))
    except (InputError, *UNREADABLE) as error:
        return [BrokenClip(clip, _one_line(error)) for clip in clips]
    for number, current in enumerate(made):
        if isinstance(current, EncodedClip) and not current.frames:
            made[number] = BrokenClip(
                current.clip, f"{current.clip.path} has no frame between start and end of the box"
            )
    return made


def _check_name(clip: Clip) -> None:
    try:
        clip.name.encode()
    except UnicodeEncodeError:
        raise InputError(f"the name of {clip.name!r} is not UTF-8: rename it") from None


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return (text or type(error).__name__).encode(errors="backslashreplace").decode()
