"""Opens video files with FFmpeg's libraries (PyAV): which formats, which stream, what rate.

Every reader of videos opens them here. Only formats of `FORMATS` are read, and only the file
itself: a list of other files, a playlist or an address named like a video is refused.
"""

import contextlib
import dataclasses
import logging
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

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
# Two rates are one if clips of a minute have the same number of frames.
_SAME_RATE = 2e-4
_FASTEST = 1000  # frames a second
# Distance of a frame from its place at a steady rate, in frames; times may be whole milliseconds.
_UNSTEADY = 0.3

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
    """

    fps: float
    is_steady: bool
    count: int | None


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
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is no file")  # a pipe would be waited for without end
    if path.exists() and is_heic(path):  # FFmpeg would give one of the tiles
        raise InputError(f"{path} is a HEIC picture, and no video")
    try:
        # Of these FFmpeg would see a single picture.
        named = {"format": "mjpeg"} if path.exists() and is_jpeg_stream(path) else {}
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


def read_timing(path: Path, container: Any, stream: Any) -> Timing:
    """Finds a video's frame rate from the numbers of its container.

    Where these leave open whether the rate is steady, all packets are read, undecoded, from a
    container of its own.

    Args:
      path: the file.
      container: what `open_container` yields.
      stream: its video.
    """
    mean, base = as_fraction(stream.average_rate), as_fraction(stream.base_rate)
    if base and (mean is None or abs(mean / base - 1) < _SAME_RATE) and base < _FASTEST:
        fps = float(base)
        return Timing(fps, True, _declared_count(container, stream, fps))
    unit = as_fraction(stream.time_base) or Fraction(1, 1000)
    times = np.sort(_packet_times(path)) * float(unit)
    span = float(times[-1] - times[0]) if len(times) > 1 else 0.0
    fps = (len(times) - 1) / span if span > 0 else math.inf
    if fps > _FASTEST:  # there is one frame, or times make no sense
        fps = float(mean or base or DEFAULT_FPS)
        fps = fps if fps <= _FASTEST else DEFAULT_FPS
        return Timing(fps, True, _declared_count(container, stream, fps))
    for steady in (base, mean, Fraction(fps).limit_denominator(1001)):
        if steady and is_grid((times - times[0]) * float(steady)):
            return Timing(float(steady), True, len(times))
    declared = _declared_count(container, stream, fps) or 0
    # Of a file that was cut short, the container still declares the whole length.
    return Timing(fps, False, declared if declared > 1.05 * len(times) + 1 else len(times))


def is_grid(places: np.ndarray) -> bool:
    """Whether frames are shown at a steady rate, one in each place.

    Args:
      places: [n] float, rising, times of the frames since the first, in units of the rate.
    """
    return bool(np.all(np.abs(places - np.arange(len(places))) < _UNSTEADY))


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


def _packet_times(path: Path) -> np.ndarray:
    with open_container(path) as (container, stream), contextlib.suppress(*FAILURES):
        found = (packet.pts for packet in container.demux(stream) if packet.size)
        return np.fromiter((time for time in found if time is not None), np.int64)
    return np.zeros(0, np.int64)


def _declared_count(container: Any, stream: Any, fps: float) -> int | None:
    """The number of frames by the video's own length, which differs from that of its sound."""
    counts = [stream.frames] if stream.frames else []
    if (seconds := _declared_seconds(container, stream)) is not None:
        counts = counts or [round(seconds * fps)]
    if container.duration:  # also where a list of edits leaves some frames out
        counts = [min(counts[0], round(container.duration / av.time_base * fps))] if counts else []
    return counts[0] if counts else None


def _declared_seconds(container: Any, stream: Any) -> float | None:
    unit = as_fraction(stream.time_base) or Fraction(0)
    if stream.duration:
        return float(stream.duration * unit)
    # Matroska declares when a stream ends.
    start = max(0.0, float((stream.start_time or 0) * unit))
    for name, value in stream.metadata.items():
        if name.startswith("DURATION"):  # such as 00:00:02.000000000
            with contextlib.suppress(ValueError):
                hours, minutes, seconds = map(float, value.split(":"))
                return 3600 * hours + 60 * minutes + seconds - start
    if len(container.streams) == 1 and container.duration:
        return container.duration / av.time_base - start
    return None
