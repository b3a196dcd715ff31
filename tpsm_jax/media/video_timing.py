"""When the frames of a video are shown, by the numbers of its container and its packets."""

import contextlib
import heapq
import itertools
import math
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from tpsm_jax.media.container import DEFAULT_FPS, FAILURES, Timing, as_fraction, open_container

REORDERED = 16  # the most frames by which a codec shows one later than it decodes it
# Two rates are one if clips of a minute have the same number of frames.
_SAME_RATE = 2e-4
_FASTEST = 1000  # frames a second
# Distance of a frame from its place at a steady rate, in frames; times may be whole milliseconds.
_UNSTEADY = 0.3
_ROUNDED = 0.001  # containers round times to milliseconds


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
    with closing(_packet_times(path)) as packets:  # type: ignore[type-var]  # a generator
        shuffled = may_be_shuffled(stream, (shown for shown, _ in packets))
    is_sure = base and (mean is None or abs(mean / base - 1) < _SAME_RATE) and not shuffled
    if base and is_sure and base < _FASTEST:
        fps = float(base)
        return Timing(fps, True, _declared_count(container, stream, fps), shuffled)
    unit = float(as_fraction(stream.time_base) or Fraction(1, 1000))
    shown, decoded = _both_times(path)
    times = np.sort(shown) * unit
    span = float(times[-1] - times[0]) if len(times) > 1 else 0.0
    fps = (len(times) - 1) / span if span > 0 else math.inf
    if fps > _FASTEST:  # there is one frame, or times make no sense
        fps = float(mean or base or DEFAULT_FPS)
        fps = fps if fps <= _FASTEST else DEFAULT_FPS
        return Timing(fps, True, _declared_count(container, stream, fps), shuffled)
    # FFmpeg makes up times where a container has none; those of decoding are the better ones.
    for each in (times, decoded * unit) if shuffled else (times,):
        for steady in (base, mean, Fraction(fps).limit_denominator(1001)):
            if steady and len(each) == len(times) and is_grid((each - each[0]) * float(steady)):
                return Timing(float(steady), True, len(times), shuffled)
    declared = _declared_count(container, stream, fps) or 0
    # Of a file that was cut short, the container still declares the whole length.
    count = declared if declared > 1.05 * len(times) + 1 else len(times)
    return Timing(fps, False, count, shuffled)


def may_be_shuffled(stream: Any, times: Iterator[int]) -> bool:
    """Whether frames may have one another's times.

    AVI stores no times of display, and other files may have those of decoding in their place. Then
    times rise from packet to packet, though the codec decodes some frames before those that are
    shown earlier. The order in which the decoder gives frames is right even so.

    Args:
      stream: a video.
      times: its packets' times of display, in the order of the file. As many are taken as needed.
    """
    if not stream.codec_context.has_b_frames:  # FFmpeg sets it where frames may be reordered
        return False
    return all(before < after for before, after in itertools.pairwise(times))


def is_grid(places: np.ndarray) -> bool:
    """Whether frames are shown at a steady rate, one in each place.

    Args:
      places: [n] float, rising, times of the frames since the first, in units of the rate.
    """
    return bool(np.all(np.abs(places - np.arange(len(places))) < _UNSTEADY))


def timed(frames: Iterator[Any], timing: Timing) -> Iterator[tuple[float, Any]]:
    """Gives frames their times.

    Args:
      frames: PyAV's frames in the order in which they are shown.
      timing: the video's timing.

    Yields:
      Seconds on the clock of the file, rising, and the frame. Where times may be shuffled, they
      are sorted, and 16 frames are read ahead.
    """
    step, depth = 1 / timing.fps, REORDERED if timing.may_be_shuffled else 0
    nearest = step / 2 if timing.may_be_shuffled and timing.is_steady else 0.0
    waiting: deque[Any] = deque()
    times: list[float] = []
    first = last = latest = None
    for frame in itertools.chain(frames, itertools.repeat(None, depth)):
        if frame is not None:
            time = frame.time  # None in files that store no times
            if time is None or not math.isfinite(time):
                time = 0.0 if latest is None else latest + step
            latest = time if latest is None else max(latest, time)
            waiting.append(frame)
            heapq.heappush(times, time)
        if (frame is not None and len(waiting) <= depth) or not waiting:
            continue
        time = heapq.heappop(times)
        first = time if first is None else first
        steady = first + round((time - first) * timing.fps) * step
        if timing.is_steady and abs(time - steady) <= _ROUNDED:
            time = steady
        if last is not None and time <= last + nearest:
            time = last + step
        last = time
        yield time, waiting.popleft()


def _packet_times(path: Path) -> Iterator[tuple[int, int | None]]:
    """Yields when each frame is shown and decoded, in the order of the file."""
    with open_container(path) as (container, stream), contextlib.suppress(*FAILURES):
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None:
                yield packet.pts, packet.dts


def _both_times(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads [n] times of display and [m] of decoding, in the order of the file."""
    pairs = list(_packet_times(path))
    shown = np.fromiter((each for each, _ in pairs), np.int64, len(pairs))
    return shown, np.array([each for _, each in pairs if each is not None], np.int64)


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
