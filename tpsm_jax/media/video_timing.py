"""When the frames of a video are shown, by the numbers of its container and its packets."""

import contextlib
import heapq
import itertools
import math
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import av
import numpy as np

from tpsm_jax.media.container import DEFAULT_FPS, FAILURES, Timing, as_fraction

REORDERED = 16  # the most frames by which a codec shows one later than it decodes it
# Two rates are one if clips of a minute have the same number of frames.
_SAME_RATE = 2e-4
_FASTEST = 1000  # frames a second
# Distance of a frame from its place at a steady rate, in frames; times may be whole milliseconds.
_UNSTEADY = 0.3
_ROUNDED = 0.001  # containers round times to milliseconds


def read_timing(container: Any, stream: Any) -> Timing:
    """Finds a video's frame rate from the numbers of its container and its packets.

    Where it stores no number of frames, its rates differ, or times are in doubt, all packets are
    read, undecoded. Otherwise the first few are. Open the file again to read its frames.

    Args:
      container: what `open_container` yields.
      stream: its video.
    """
    mean, base = as_fraction(stream.average_rate), as_fraction(stream.base_rate)
    first, reader = itertools.tee(_read_packets(container, stream))
    shuffled = may_be_shuffled(stream, (packet.shown for packet in first))
    del first  # else it would keep every packet
    is_sure = base and base < _FASTEST and (mean is None or abs(mean / base - 1) < _SAME_RATE)
    sure = float(base) if base and is_sure else None
    # Matroska and others store a rate, but not the number of frames: some may be left out.
    if sure and _stored_count(container, stream) and not shuffled:
        return Timing(sure, True, _declared_count(container, stream, sure))
    packets = list(reader)
    unit = float(as_fraction(stream.time_base) or Fraction(1, 1000))
    times = np.sort([packet.shown for packet in packets]) * unit
    span = float(times[-1] - times[0]) if len(times) > 1 else 0.0
    fps = (len(times) - 1) / span if span > 0 else math.inf
    if fps > _FASTEST:  # there is one frame, or times make no sense
        fps = sure or float(mean or base or DEFAULT_FPS)
        fps = fps if fps <= _FASTEST else DEFAULT_FPS
        return Timing(fps, True, _declared_count(container, stream, fps), shuffled)
    # FFmpeg makes up times where a container has none; those of decoding are the better ones.
    decoded = np.array([each.decoded for each in packets if each.decoded is not None]) * unit
    clocks = [times, *([decoded] if shuffled and len(decoded) == len(times) else [])]
    rates = [float(rate) for rate in (base, mean, Fraction(fps).limit_denominator(1001)) if rate]
    for clock in clocks:
        if sure and _has_few_gaps((clock - clock[0]) * sure):
            return Timing(sure, True, _announced(container, stream, sure, packets, unit), shuffled)
    for clock, rate in itertools.product(clocks, rates):
        count = _announced(container, stream, rate, packets, unit)
        # Where a file was cut short, frames are missing among the last that are there.
        end = len(times) - REORDERED if sure and count > len(times) else 0
        places = (clock - clock[0]) * rate
        if is_grid(places[:end] if end > 1 else places):
            return Timing(rate, True, count, shuffled)
    return Timing(fps, False, _announced(container, stream, fps, packets, unit), shuffled)


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


def _has_few_gaps(places: np.ndarray) -> bool:
    """Whether frames are shown at a steady rate, but for places that stay empty.

    Broadcasts lose some, and AVI has an empty one or two next to sound.

    Args:
      places: [n] float, rising, times of the frames since the first, in units of the rate.
    """
    numbers = np.rint(places)
    is_near = np.all(np.abs(places - numbers) < _UNSTEADY) and np.all(np.diff(numbers) > 0)
    return bool(is_near) and numbers[-1] <= 1.05 * len(numbers)


def timed(frames: Iterator[Any], timing: Timing) -> Iterator[tuple[float, Any]]:
    """Gives frames their times.

    Args:
      frames: PyAV's frames in the order in which they are shown.
      timing: the video's timing.

    Yields:
      Seconds on the clock of the file, rising, and the frame. Where times may be shuffled, they
      are sorted, and 16 frames are kept in memory for it. Where times jump back, as in files
      appended to one another, frames go on at the video's rate.
    """
    step, depth = 1 / timing.fps, REORDERED if timing.may_be_shuffled else 0
    nearest = step / 2 if timing.may_be_shuffled and timing.is_steady else 0.0
    waiting: deque[Any] = deque()
    times: list[float] = []
    first = last = latest = None
    shift = 0.0
    for frame in itertools.chain(frames, itertools.repeat(None, depth)):
        if frame is not None:
            time = frame.time  # None in files that store no times
            if time is None or not math.isfinite(time):
                time = 0.0 if latest is None else latest + step - shift
            time += shift
            if latest is not None and time < latest - (REORDERED + 1) * step:
                shift += latest + step - time
                time = latest + step
            latest = time if latest is None else max(latest, time)
            waiting.append(frame)
            heapq.heappush(times, time)
        if (frame is not None and len(waiting) <= depth) or not waiting:
            continue
        time = heapq.heappop(times)
        first = time if first is None else first
        steady = first + round((time - first) * timing.fps) / timing.fps
        if timing.is_steady and abs(time - steady) <= _ROUNDED:
            time = steady
        if last is not None and time <= last + nearest:
            time = last + step
        last = time
        yield time, waiting.popleft()


class _Packet(NamedTuple):
    """When a frame is shown, for how long, and when it is decoded, in the video's own unit."""

    shown: int
    duration: int
    decoded: int | None


def _read_packets(container: Any, stream: Any) -> Iterator[_Packet]:
    """Yields the times of each frame in the order of the file, without jumps back."""
    rate, unit = as_fraction(stream.guessed_rate), as_fraction(stream.time_base)
    step = round(1 / (rate * unit)) if rate and unit else 0
    shift, latest, decoded = 0, None, None
    with contextlib.suppress(*FAILURES):
        for packet in container.demux(stream):
            if not packet.size or packet.pts is None or _is_hidden(packet, stream):
                continue
            if packet.dts is not None:
                # Where one file was appended to another, the time of decoding begins again.
                if latest is not None and decoded is not None and packet.dts < decoded:
                    shift = latest + step - packet.pts
                decoded = packet.dts
            shown = packet.pts + shift
            latest = shown if latest is None else max(latest, shown)
            moved = None if packet.dts is None else packet.dts + shift
            yield _Packet(shown, packet.duration or 0, moved)


def _is_hidden(packet: Any, stream: Any) -> bool:
    """Whether a packet of VP8 is a picture that others are made from and that is not shown."""
    return stream.codec_context.name == "vp8" and not memoryview(packet)[0] & 0x10


def _announced(container: Any, stream: Any, fps: float, packets: list[_Packet], unit: float) -> int:
    """The number of frames that there are, or that there were before the file was cut short."""
    count = len(packets)
    start = min(packet.shown for packet in packets)
    end = max(packet.shown + packet.duration for packet in packets)
    seconds = _declared_seconds(container, stream)
    if seconds is not None and (end - start) * unit > 0.95 * seconds:
        return count
    declared = _declared_count(container, stream, fps) or 0
    return declared if declared > 1.05 * count + 1 else count


def _stored_count(container: Any, stream: Any) -> int:
    """The number of frames that the container stores, or 0; AVI counts empty places too."""
    return 0 if _is_avi(container) else stream.frames


def _is_avi(container: Any) -> bool:
    return container.format.name == "avi"


def _declared_count(container: Any, stream: Any, fps: float) -> int | None:
    """The number of frames by the video's own length, which differs from that of its sound."""
    stored = _stored_count(container, stream)
    counts = [stored] if stored else []
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
