"""Driving clips as streams of frames: video files, animated pictures, folders of pictures.

The frames of a clip are those that it stores, each once, in the order in which they are shown. The
rate of a clip whose frames come at odd times is their mean rate, and `FrameSource.timed` gives
each frame's own time. `data.video_frames` picks single frames out of the same sequence.
"""

import dataclasses
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from itertools import accumulate
from pathlib import Path
from typing import Any

import av
import numpy as np

from tpsm_jax.errors import InputError
from tpsm_jax.media import animated_pictures
from tpsm_jax.media.container import (
    DEFAULT_FPS,
    FAILURES,
    FORMATS,
    Timing,
    audio_codec,
    open_container,
    read_pixel_aspect,
)
from tpsm_jax.media.picture_folder import PICTURE_SUFFIXES, picture_files, read_pictures
from tpsm_jax.media.rgb import Color
from tpsm_jax.media.rgb_converter import RgbConverter
from tpsm_jax.media.video_timing import read_timing, timed

# By these names clips are found in folders. A file is read by its content, whatever its name.
VIDEO_SUFFIXES = frozenset(
    f".{suffix}" for suffix in (*" ".join(FORMATS.values()).split(), "apng", "gif", "webp")
)
# ffmpeg reports these for a stream cut out of a longer one, though all frames are there.
_HARMLESS = re.compile("mmco: unref short failure|co located POCs unavailable")

TimedFrames = Iterator[tuple[float, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class FrameSource:
    """A clip that can be read again and again, one frame in memory at a time.

    Iterating opens it again and yields [H, W, 3] uint8 frames; closing the iterator early closes
    the file.

    Attributes:
      path: the file or folder.
      fps: frames a second; the mean rate of a clip whose frames come at odd times.
      frame_count: an estimate for progress bars (exact for folders and gifs), or None.
      audio_codec: ffmpeg's name of the first sound track's codec, or None without sound.
      start: the first frame's time on the clock of the file's sound, in seconds.
      pixel_aspect: the width of a pixel over its height, of the first frame. Frames are as stored:
        players stretch them by it, see `tpsm_jax.media.proportions`.
    """

    path: Path
    fps: float
    frame_count: int | None
    audio_codec: str | None
    _read: Callable[[], Iterator[np.ndarray]]
    start: float = 0.0
    _read_timed: Callable[[], TimedFrames] | None = None
    pixel_aspect: float = 1.0

    def __iter__(self) -> Iterator[np.ndarray]:
        return self._read()

    def changed(self, change: Callable[[np.ndarray], np.ndarray]) -> "FrameSource":
        """The same clip, each frame [H, W, 3] changed when it is read."""

        def read() -> Iterator[np.ndarray]:
            with closing(iter(self)) as frames:  # type: ignore[type-var]  # a generator
                yield from (change(frame) for frame in frames)

        def read_timed() -> TimedFrames:
            with closing(self.timed()) as frames:  # type: ignore[type-var]  # a generator
                yield from ((time, change(frame)) for time, frame in frames)

        return dataclasses.replace(self, _read=read, _read_timed=read_timed)

    def timed(self) -> TimedFrames:
        """Reads the frames with their times.

        Yields:
          Seconds since the first frame, rising, and the frame [H, W, 3] uint8.
        """
        if self._read_timed is not None:
            yield from self._read_timed()
        else:
            yield from ((number / self.fps, frame) for number, frame in enumerate(self))


def open_video(
    path: str | Path,
    *,
    fps: float | None = None,
    whole: bool = False,
    alpha_background: Color | None = None,
) -> FrameSource:
    """Opens a driving clip and makes sure that it has a frame.

    Args:
      path: a video of a format in `container.FORMATS`, an animated picture (gif, webp, png, avif),
        or a folder of pictures, which are read in the order of the numbers in their names (9.png
        before 10.png). A file is read by its content, whatever its name.
      fps: frames a second of a folder, 25 by default. Every other clip has its own.
      whole: whether a damaged clip is an error, when it is opened or when its damage is reached.
        Otherwise ffmpeg conceals what it can, and frames that cannot be decoded are left out. No
        damage is what a clip cut out of a longer one lacks before its first keyframe.
      alpha_background: the color under transparent pictures, see `read_image`.

    Returns:
      The clip. A video's pixels are those of imageio's reader, which the reference uses; see
      `RgbConverter` for rotations and for high dynamic range.

    Raises:
      InputError: nothing is there, it has no frame, it cannot be decoded, or `fps` is given for
        something that is not a folder or is not positive; also while a clip that must be `whole`
        is read.
    """
    path = Path(path)
    if fps is not None and not 0 < fps < 1000:
        raise InputError(f"a frame rate of {fps:g} makes no clip: give one between 0 and 1000")
    if path.is_dir():
        return _open_folder(path, fps or DEFAULT_FPS, alpha_background)
    if not path.exists():
        raise InputError(f"there is no video, gif or folder of frames {path}")
    if fps is not None:
        raise InputError(f"{path} has its own frame rate: --fps is for a folder of frames")
    if animated_pictures.is_picture(path):
        return _open_animated_picture(path, whole, alpha_background)
    return _open_file(path, whole)


def without_suffix(name: str, more: Collection[str] = ()) -> str:
    """A clip's name without the suffixes of its file: "a.1.mp4.png" is "a.1".

    Args:
      name: name of a clip, a video or a picture.
      more: suffixes to remove in addition to those of videos and pictures, in lower case.
    """
    known = {*VIDEO_SUFFIXES, *PICTURE_SUFFIXES, *more}
    end = len(name)
    while (dot := name.rfind(".", 0, end)) > 0 and name[dot:end].lower() in known:
        end = dot
    return name[:end]


def _open_folder(folder: Path, fps: float, alpha_background: Color | None) -> FrameSource:
    files = picture_files(folder)

    def read() -> Iterator[np.ndarray]:
        return read_pictures(files, alpha_background)

    return FrameSource(folder, fps, len(files), None, read)


def _open_animated_picture(path: Path, whole: bool, alpha_background: Color | None) -> FrameSource:
    durations = animated_pictures.read_durations(path, whole)
    count = len(durations)  # everything after a break in the file is left out
    times = [milliseconds / 1000 for milliseconds in accumulate(durations, initial=0)]

    def read() -> Iterator[np.ndarray]:
        return animated_pictures.read_frames(path, count, alpha_background)

    source = FrameSource(path, 1000 * count / sum(durations), count, None, read)
    with closing(read()) as frames:  # type: ignore[type-var]  # a generator
        next(frames)
    if len(set(durations)) == 1:
        return source
    return dataclasses.replace(source, _read_timed=lambda: zip(times, read(), strict=False))


def _open_file(path: Path, whole: bool) -> FrameSource:
    with open_container(path) as (container, stream):
        sound = audio_codec(container)
        pixel_aspect = read_pixel_aspect(stream)
        timing = read_timing(container, stream)

    def read_timed() -> TimedFrames:
        with closing(_timed_frames(path, timing, whole)) as frames:  # type: ignore[type-var]
            first, frame = next(frames, (0.0, None))
            if frame is not None:
                yield 0.0, frame
            yield from ((time - first, frame) for time, frame in frames)

    def read() -> Iterator[np.ndarray]:
        with closing(_timed_frames(path, timing, whole)) as frames:  # type: ignore[type-var]
            yield from (frame for _, frame in frames)

    convert = RgbConverter()
    with closing(_timed_frames(path, timing, whole, convert)) as frames:  # type: ignore[type-var]
        start = next((time for time, _ in frames), None)
    if start is None:
        raise InputError(f"{path} has no frame that can be decoded")
    if convert.is_turned:
        pixel_aspect = 1 / pixel_aspect
    return FrameSource(
        *(path, timing.fps, timing.count, sound, read, start, read_timed, pixel_aspect)
    )


def _timed_frames(
    path: Path, timing: Timing, whole: bool, convert: RgbConverter | None = None
) -> TimedFrames:
    """Yields the seconds of each frame on the clock of the file, and the frame."""
    convert = convert or RgbConverter()
    with closing(_decoded(path, whole)) as frames:  # type: ignore[type-var]
        for time, frame in timed(frames, timing):
            try:
                pixels = convert(frame)
            except FAILURES as error:
                raise InputError(f"{path} has a frame that PyAV cannot convert: {error}") from None
            yield time, pixels


def _decoded(path: Path, whole: bool) -> Iterator[Any]:
    """Yields PyAV's frames in the order in which they are shown."""
    count = 0
    cut: int | None = None  # the first keyframe's time; what comes before depends on lost frames
    with open_container(path) as (container, stream):
        packets: Iterator[Any] | None = iter(container.demux(stream))
        while packets is not None:
            damage, packet, frames = "", None, []
            with av.logging.Capture() as messages:
                try:
                    packet = next(packets, None)
                    if packet is not None:
                        frames = stream.codec_context.decode(packet)
                except FAILURES as error:
                    damage = str(error)
                    if packet is None:  # the file cannot be read any further
                        frames = _drained(stream.codec_context)
            if packet is None:
                packets = None
            elif packet.size and cut is None and packet.is_keyframe:
                cut = packet.pts if packet.pts is not None else -(2**63)
            if whole:
                is_lead = cut is None or (
                    packet is not None and packet.pts is not None and packet.pts < cut
                )
                damage = _first_damage(messages) or damage or _corruption(packet, frames)
                if damage and not is_lead:
                    raise InputError(f"{path} is damaged after {count} frames: {damage}")
            yield from frames
            count += len(frames)


def _drained(decoder: Any) -> list[Any]:
    try:
        return decoder.decode(None)
    except FAILURES:
        return []


def _first_damage(messages: list[tuple[int, str, str]]) -> str:
    texts = [" ".join(text.split()) for level, _, text in messages if level <= av.logging.ERROR]
    return next((text for text in texts if not _HARMLESS.search(text)), "")


def _corruption(packet: Any, frames: list[Any]) -> str:
    if packet is not None and packet.is_corrupt:
        return "a packet is incomplete"
    return "a frame is corrupt" if any(frame.is_corrupt for frame in frames) else ""
