"""Single frames out of a video, decoded from the keyframe before them.

`tpsm_jax.media.video_reader` decodes and converts every frame from the start. For two frames of a
clip, most of that work is wasted. Here the file's packets are read once, undecoded, to find each
frame. Then only the frames that a wanted one may depend on are decoded, and only the wanted ones
are converted to RGB. Number, order and pixels are those of `open_video`.

This works for a plain video: constant frame rate, nothing missing, each frame with its own time.
Functions here return None for any other, which is then read from the start.
"""

import dataclasses
import itertools
from array import array
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np

from tpsm_jax.errors import InputError
from tpsm_jax.media.container import FAILURES, as_fraction, open_container, read_pixel_aspect
from tpsm_jax.media.rgb_converter import RgbConverter
from tpsm_jax.media.video_timing import REORDERED, may_be_shuffled


@dataclasses.dataclass(frozen=True)
class FrameIndex:
    """The times of a plain video's frames. It takes a few hundred bytes for any length.

    Attributes:
      count: number of frames.
      start: time of the first frame, in the video's own unit.
      step: time between frames, in that unit.
      keyframes: [k] int32, rising, the frames that depend on no other; the first is frame 0.
      pixel_aspect: the width of a pixel over its height as stored, before frames are turned.
    """

    count: int
    start: int
    step: float
    keyframes: np.ndarray
    pixel_aspect: float

    @classmethod
    def of(cls, path: Path) -> Self | None:
        """Reads the packets of a video; frames are decoded only if their times are in doubt.

        Args:
          path: the file.

        Returns:
          The index, or None if the file is no plain video.
        """
        times, is_key = array("q"), array("b")  # 9 bytes a frame, and no packet's data
        try:
            with open_container(path) as (container, stream):
                rate, unit = as_fraction(stream.guessed_rate), as_fraction(stream.time_base)
                if not rate or not unit:
                    return None
                if stream.codec_context.pix_fmt == "pal8":  # a palette comes once, at the start
                    return None
                step = float(1 / (rate * unit))
                pixel_aspect = read_pixel_aspect(stream)
                for packet in container.demux(stream):
                    if not packet.size:  # the last packet is empty; it ends the decoder
                        continue
                    if packet.pts is None or packet.is_corrupt or packet.is_discard:
                        return None
                    times.append(packet.pts)
                    is_key.append(packet.is_keyframe)
                if may_be_shuffled(stream, iter(times)) and not _have_own_times(path):
                    return None
        except (InputError, *FAILURES):
            return None
        if not times:
            return None
        start = min(times)
        numbers = np.rint((np.array(times) - start) / step).astype(np.int32)
        # Frames at odd times would need all times, and some may have none of their own.
        if not np.array_equal(np.sort(numbers), np.arange(len(times))):
            return None
        keyframes = np.sort(numbers[np.array(is_key, bool)])
        if len(keyframes) == 0 or keyframes[0] != 0:
            return None
        return cls(len(times), start, step, keyframes, pixel_aspect)

    def number(self, time: int) -> int:
        """The number of the frame at a time in the video's own unit."""
        return round((time - self.start) / self.step)

    def keyframe(self, number: int) -> int:
        """The last keyframe at or before a frame."""
        return int(self.keyframes[np.searchsorted(self.keyframes, number, "right") - 1])


def _have_own_times(path: Path) -> bool:
    """Whether the times of decoded frames rise; they are decoded up to where they do not."""
    with open_container(path) as (container, stream):
        times = (frame.pts for frame in container.decode(stream))
        rise = ((None not in pair) and pair[0] < pair[1] for pair in itertools.pairwise(times))
        return all(rise)


def read_frames(
    path: Path, index: FrameIndex, numbers: Collection[int]
) -> dict[int, np.ndarray] | None:
    """Decodes some frames.

    Args:
      path: the video.
      index: its index.
      numbers: frame numbers, from 0.

    Returns:
      The frame of each number, [H, W, 3] uint8; None if one of them cannot be decoded, because the
      file is damaged there or the video is not plain.
    """
    by_keyframe: dict[int, set[int]] = {}
    for number in numbers:
        by_keyframe.setdefault(index.keyframe(number), set()).add(number)
    found: dict[int, np.ndarray] = {}
    convert = RgbConverter()
    try:
        with open_container(path) as (container, stream):
            for keyframe, wanted in by_keyframe.items():
                _decode(container, stream, index, keyframe, wanted, found, convert)
    except (InputError, *FAILURES):
        return None
    return found if len(found) == len(set(numbers)) else None


def _decode(
    container: Any,
    stream: Any,
    index: FrameIndex,
    keyframe: int,
    wanted: set[int],
    found: dict[int, np.ndarray],
    convert: RgbConverter,
) -> None:
    """Decodes from a keyframe as far as needed."""
    decoder = stream.codec_context
    missing = set(wanted)
    for packet in _packets_from(container, stream, index, keyframe):
        # A frame that no other depends on is decoded only if it is wanted itself.
        is_wanted = packet.pts is not None and index.number(packet.pts) in wanted
        decoder.skip_frame = "DEFAULT" if is_wanted else "NONREF"
        if is_wanted:
            missing.discard(index.number(packet.pts))
        frames = decoder.decode(packet)
        if not missing and packet.size:
            frames += decoder.decode(None)  # drain the decoder
        for frame in frames:
            is_good = frame.pts is not None and not frame.is_corrupt
            is_good = is_good and frame.format.name != "pal8"  # its palette may be an earlier one
            if is_good and index.number(frame.pts) in wanted:
                found[index.number(frame.pts)] = convert(frame)
        if not missing:
            return


def _packets_from(container: Any, stream: Any, index: FrameIndex, keyframe: int) -> Iterator[Any]:
    """Yields the packets from a keyframe's on."""
    time = round(index.start + keyframe * index.step)
    # Formats without a table of keyframes, such as ts, are searched by the time of decoding.
    for back in (0, REORDERED):
        stream.codec_context.flush_buffers()
        container.seek(round(time - back * index.step), stream=stream)
        is_there = False
        for packet in container.demux(stream):
            is_there = is_there or _is_frame(packet, keyframe, index)
            if is_there:
                yield packet
            elif packet.pts is None or index.number(packet.pts) > keyframe + REORDERED:
                break
        if is_there:
            return


def _is_frame(packet: Any, number: int, index: FrameIndex) -> bool:
    return packet.is_keyframe and packet.pts is not None and index.number(packet.pts) == number
