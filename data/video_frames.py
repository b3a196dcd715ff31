"""Single frames out of a video, decoded in this process from the keyframe before them.

`tpsm_jax.media.video_reader` starts an ffmpeg process that decodes and converts every frame from
the start. For two frames of a clip, most of that work is wasted. Here the file's packets are read
once, undecoded, to find each frame. Then only the frames that a wanted one may depend on are
decoded, and only the wanted ones are converted to RGB. The pixels are the same.

This works for a plain video: constant frame rate, upright, not interlaced, 8 bits or color at full
resolution, nothing missing. Functions here return None for any other, and ffmpeg reads it.
"""

import dataclasses
import functools
from collections.abc import Collection
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import numpy as np

from tpsm_jax.errors import InputError


@functools.cache
def import_av() -> ModuleType:
    """Imports PyAV, the libraries of ffmpeg.

    Raises:
      InputError: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise InputError(f"reading videos takes PyAV ({error}): pip install -e '.[data]'") from None
    return av


@dataclasses.dataclass(frozen=True)
class FrameIndex:
    """The times of a plain video's frames. It takes a few hundred bytes for any length.

    Attributes:
      count: number of frames.
      start: time of the first frame, in the video's own unit.
      step: time between frames, in that unit.
      keyframes: [k] int32, rising, the frames that depend on no other; the first is frame 0.
    """

    count: int
    start: int
    step: float
    keyframes: np.ndarray

    @classmethod
    def of(cls, path: Path) -> Self | None:
        """Reads the packets of a video without decoding any.

        Args:
          path: the file.

        Returns:
          The index, or None if the file is no plain video.

        Raises:
          InputError: PyAV is not installed.
        """
        av = import_av()
        try:
            with av.open(str(path.resolve())) as container:
                stream = _first_video(container)
                if stream is None or not stream.guessed_rate:
                    return None
                step = float(1 / (stream.guessed_rate * stream.time_base))
                # The last packet is empty; it ends the decoder.
                packets = [packet for packet in container.demux(stream) if packet.size]
        except (av.FFmpegError, OSError, ValueError):
            return None
        if not packets or any(
            packet.pts is None or packet.is_corrupt or packet.is_discard for packet in packets
        ):
            return None
        times = np.array([packet.pts for packet in packets])
        start = int(times.min())
        numbers = np.rint((times - start) / step).astype(np.int32)
        # ffmpeg keeps a constant rate: it would repeat and drop frames of any other video.
        if not np.array_equal(np.sort(numbers), np.arange(len(packets))):
            return None
        keyframes = np.sort(numbers[[packet.is_keyframe for packet in packets]])
        if len(keyframes) == 0 or keyframes[0] != 0:
            return None
        return cls(len(packets), start, step, keyframes)

    def keyframe(self, number: int) -> int:
        """The last keyframe at or before a frame."""
        return int(self.keyframes[np.searchsorted(self.keyframes, number, "right") - 1])


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

    Raises:
      InputError: PyAV is not installed.
    """
    av = import_av()
    by_keyframe: dict[int, set[int]] = {}
    for number in numbers:
        by_keyframe.setdefault(index.keyframe(number), set()).add(number)
    found: dict[int, np.ndarray] = {}
    try:
        with av.open(str(path.resolve())) as container:
            stream = _first_video(container)
            if stream is None:
                return None
            stream.codec_context.thread_count = 1  # the reader has threads of its own
            for keyframe, wanted in by_keyframe.items():
                if not _decode(container, stream, index, keyframe, wanted, found):
                    return None
    except (av.FFmpegError, OSError, ValueError):
        return None
    return found if len(found) == len(set(numbers)) else None


def _decode(
    container: Any,
    stream: Any,
    index: FrameIndex,
    keyframe: int,
    wanted: set[int],
    found: dict[int, np.ndarray],
) -> bool:
    """Decodes from a keyframe as far as needed; False if ffmpeg would yield other pixels."""

    def number(time: int) -> int:
        return round((time - index.start) / index.step)

    decoder = stream.codec_context
    decoder.flush_buffers()
    container.seek(round(index.start + keyframe * index.step), stream=stream)
    missing = set(wanted)
    for packet in container.demux(stream):
        # A frame that no other depends on is decoded only if it is wanted itself.
        is_wanted = packet.pts is not None and number(packet.pts) in wanted
        decoder.skip_frame = "DEFAULT" if is_wanted else "NONREF"
        if is_wanted:
            missing.discard(number(packet.pts))
        frames = decoder.decode(packet)
        if not missing and packet.size:
            frames += decoder.decode(None)  # drain the decoder
        for frame in frames:
            if frame.pts is not None and number(frame.pts) in wanted:
                if frame.rotation or frame.interlaced_frame or _is_deep(frame.format):
                    return False
                found[number(frame.pts)] = frame.to_ndarray(format="rgb24")
        if not missing:
            return True
    return True


def _is_deep(pixels: Any) -> bool:
    """Whether a format has over 8 bits and subsampled color, which ffmpeg rounds differently."""
    return pixels.chroma_width(2) < 2 and any(part.bits > 8 for part in pixels.components)


def _first_video(container: Any) -> Any:
    # Like ffmpeg's 0:V:0, which skips the cover picture of a sound file.
    cover = import_av().stream.Disposition.attached_pic
    return next((s for s in container.streams.video if not s.disposition & cover), None)
