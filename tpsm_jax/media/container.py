"""Opens video files with FFmpeg's libraries (PyAV): which formats and which stream.

Every reader of videos opens them here. Only formats of `FORMATS` are read, and only the file
itself: a list of other files, a playlist or an address named like a video is refused.
"""

import contextlib
import dataclasses
import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from tpsm_jax.errors import InputError
from tpsm_jax.media.heic import is_heic
from tpsm_jax.media.jpeg_stream import is_jpeg_stream
from tpsm_jax.media.picture_opening import MOVING_LARGEST

DEFAULT_FPS = 25.0  # for clips without their own, as ffmpeg assumes

# FFmpeg's demuxers, and the suffixes of files that they read, for people.
FORMATS = {
    "mov": "mp4 m4v mov 3gp 3g2",
    "matroska": "mkv webm",
    "avi": "avi",
    "mpegts": "ts mts m2ts",
    "mpeg": "mpg mpeg vob",
    "mpegvideo": "m2v",
    "flv": "flv",
    "asf": "wmv asf",
    "ogg": "ogv",
    "nut": "nut",
    "mxf": "mxf",
    "dv": "dv",
    "ivf": "ivf",
    "rm": "rm",
    "yuv4mpegpipe": "y4m",
    "h264": "h264",
    "hevc": "hevc",
    "m4v": "",
    "h263": "",
    "obu": "obu",
    "mjpeg": "mjpeg mjpg",
}
_OPTIONS = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"}
# Titles need not be UTF-8. From release 19 on PyAV takes them as they are.
_TEXT = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
# What PyAV raises: FFmpeg's errors, and Python's for what it does not take, as of damaged files.
FAILURES = (
    *(av.FFmpegError, OSError, ValueError, RuntimeError, MemoryError),
    *(ArithmeticError, LookupError),
)
# PyAV hands FFmpeg's errors to Python's logging. Readers catch those that matter, and none of them
# is printed. Without the second line an error like the one before it would not be reported.
av.logging.set_level(av.logging.ERROR)
av.logging.set_skip_repeated(False)
logging.getLogger("libav").addHandler(logging.NullHandler())
logging.getLogger("libav").propagate = False


@dataclasses.dataclass(frozen=True)
class Timing:
    """When the frames of a video are shown.

    Attributes:
      fps: frames a second; their mean rate if it varies.
      is_steady: whether the time between frames is always the same.
      count: an estimate of the number of frames, or None.
      may_be_shuffled: whether frames may have one another's times, see
        `video_timing.may_be_shuffled`.
    """

    fps: float
    is_steady: bool
    count: int | None
    may_be_shuffled: bool = False


@contextlib.contextmanager
def open_container(path: Path) -> Iterator[tuple[Any, Any]]:
    """Opens a video.

    Args:
      path: the file.

    Yields:
      PyAV's container and its first video stream that is no cover picture. FFmpeg's errors
      (`FAILURES`) while it is read are the caller's.

    Raises:
      InputError: it is no video of a format in `FORMATS`, or its frames have more than
        `MOVING_LARGEST` pixels.
    """
    is_there = path.exists()
    if is_there and not path.is_file():
        raise InputError(f"{path} is no file")  # a pipe would be waited for without end
    if is_there and is_heic(path):  # FFmpeg would give one of the tiles
        raise InputError(f"{path} is a HEIC picture, and no video")
    try:
        # Of these FFmpeg would see a single picture.
        named = {"format": "mjpeg"} if is_there and is_jpeg_stream(path) else {}
        container = av.open(str(path.resolve()), options=_OPTIONS, **named, **_TEXT)
    except FAILURES as error:
        raise InputError(_refusal(path, error)) from None
    with container:
        cover = av.stream.Disposition.attached_pic
        videos = (stream for stream in container.streams.video if not stream.disposition & cover)
        stream = next(videos, None)
        if stream is None:
            raise InputError(f"{path} is no video that PyAV can read: it holds no pictures")
        if stream.codec_context is None:
            raise InputError(f"{path} is no video that PyAV can read: it knows no such codec")
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > MOVING_LARGEST:
            raise InputError(
                f"{path} has frames of {width} x {height}, more than the {MOVING_LARGEST} pixels "
                "that a video may have: make it smaller"
            )
        # Larger frames that come later are damaged ones. Codecs round sides up before they ask.
        stream.codec_context.options = {"max_pixels": str(2 * MOVING_LARGEST)}
        # Readers run in threads of their own, and the library's could log while one of them waits.
        stream.codec_context.thread_count = 1
        yield container, stream


def _refusal(path: Path, error: BaseException) -> str:
    reason = ""
    if isinstance(error, PermissionError | IsADirectoryError):
        reason = f" ({error.strerror})"
    known = " ".join(" ".join(FORMATS.values()).split())
    return f"{path} is no video that PyAV can read{reason}; formats that are read: {known}"


def as_fraction(value: Any) -> Fraction | None:
    """A rate or unit of PyAV's, which has a type of its own from release 19, or None for 0/0."""
    if value is None or not value.numerator or not value.denominator:
        return None
    return Fraction(value.numerator, value.denominator)


def read_pixel_aspect(stream: Any) -> float:
    """The width of a pixel over its height, as stored; 1 where the file does not say."""
    aspect = as_fraction(stream.sample_aspect_ratio)
    return float(aspect) if aspect is not None and aspect > 0 else 1.0


def muxer_options(path: Path) -> dict[str, str]:
    """FFmpeg's options for writing a file: an mp4 plays while it is still being loaded."""
    return {"movflags": "+faststart"} if path.suffix.lower() in (".mp4", ".mov") else {}


def audio_codec(container: Any) -> str | None:
    """FFmpeg's name of the codec of the first sound track, or None without sound."""
    audio = next(iter(container.streams.audio), None)
    if audio is None:
        return None
    return audio.codec_context.codec.canonical_name if audio.codec_context else "unknown"
