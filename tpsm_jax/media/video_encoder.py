"""Frames into one video file, by FFmpeg's encoders and filters (PyAV)."""

import contextlib
import dataclasses
import itertools
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from tpsm_jax.errors import InputError
from tpsm_jax.media.container import FAILURES, muxer_options
from tpsm_jax.media.video_reader import open_video

_PARTS = 10_000  # a second is cut into so many parts or more, for frames at odd times
_GIF_FPS = 50  # viewers show delays below 20 ms as 100 ms
# Color of the written file, by its numbers in ITU-T H.273: swscale makes YUV by the matrix of
# BT.601 (6); primaries and transfer function are BT.709's (1), which sRGB pictures are shown by.
_MATRIX, _PRIMARIES, _TRANSFER, _TV_RANGE = 6, 1, 1, 1
_YUV420 = (
    ("scale", "out_color_matrix=smpte170m:out_range=tv"),
    ("format", "yuv420p"),
)


@dataclasses.dataclass(frozen=True)
class Encoding:
    """How a video is encoded.

    Attributes:
      codec: FFmpeg's name of the encoder.
      options: its settings.
      filters: what makes its pixels out of RGB; None for a palette for each frame.
    """

    codec: str
    options: dict[str, str]
    filters: tuple[tuple[str, str], ...] | None = _YUV420


def as_rate(fps: float) -> Fraction:
    """Frames a second as a fraction of small numbers, of which 24000/1001 is one."""
    if fps < 1:
        return 1 / Fraction(1 / fps).limit_denominator(1001)
    return Fraction(fps).limit_denominator(1001)


X264 = Encoding("libx264", {"crf": "18"})
# With its defaults it would keep a fast accelerator waiting.
VP9 = Encoding("libvpx-vp9", {"crf": "24", "b": "0", "row-mt": "1", "cpu-used": "4"})
GIF = Encoding("gif", {}, None)


class VideoEncoder:
    """Writes frames of one shape to a file, each at its time."""

    def __init__(
        self,
        path: Path,
        encoding: Encoding,
        rate: Fraction,
        height: int,
        width: int,
        comment: str = "",
    ) -> None:
        """Opens the file.

        Args:
          path: where to write; its suffix gives the format.
          encoding: `X264`, `VP9` or `GIF`.
          rate: frames a second, the mean if their times are odd.
          height: height of the frames.
          width: width of the frames.
          comment: a line that the file carries.

        Raises:
          av.FFmpegError: the file cannot be made.
        """
        self._is_gif = is_gif = encoding.filters is None
        self._rate = rate
        self._unit = Fraction(1, 100) if is_gif else 1 / (rate * math.ceil(_PARTS / rate))
        self._length = max(1, round(1 / (rate * self._unit)))
        self._encoding = encoding
        # Chroma at half the size needs even sides: an odd one gets its last row or column twice.
        odd = (0, 0) if is_gif else (height % 2, width % 2)
        self._padding = ((0, odd[0]), (0, odd[1]), (0, 0)) if any(odd) else None
        self._graph = _graph(encoding, height + odd[0], width + odd[1])
        self._container = av.open(str(path.resolve()), "w", container_options=muxer_options(path))
        self._path, self._comment = path, comment
        if comment:
            self._container.metadata["comment"] = comment
        self._stream: Any = None
        self._last = -math.inf  # the place of the frame before, in units of time

    def write(self, frame: np.ndarray, time: float) -> None:
        """Appends a frame. Of a gif, frames beyond 50 a second are left out.

        Args:
          frame: [height, width, 3] uint8.
          time: seconds since the first frame. A time that is not after the one before is moved.

        Raises:
          av.FFmpegError: it cannot be encoded or written.
        """
        place = round(time / self._unit)
        if self._is_gif:
            place = 2 * round(time * _GIF_FPS) if self._rate > _GIF_FPS else place
            if place < self._last + 2:
                return
        self._last = max(self._last + 1, place)
        if self._padding is not None:
            frame = np.pad(frame, self._padding, mode="edge")
        picture = av.VideoFrame.from_ndarray(frame, "rgb24")
        self._graph.push(picture)
        made = self._graph.pull()
        made.pts, made.time_base, made.duration = int(self._last), self._unit, self._length
        if self._stream is None:
            self._stream = self._open_stream(made)
        self._container.mux(self._stream.encode(made))

    def _open_stream(self, frame: Any) -> Any:
        encoding = self._encoding
        stream = self._container.add_stream(
            encoding.codec, rate=self._rate, options=encoding.options
        )
        stream.width, stream.height = frame.width, frame.height
        stream.pix_fmt = frame.format.name
        context = stream.codec_context
        context.time_base = self._unit
        context.thread_count = 0  # as many as there are cores
        if not self._is_gif:
            context.colorspace, context.color_range = _MATRIX, _TV_RANGE
            context.color_primaries, context.color_trc = _PRIMARIES, _TRANSFER
        return stream

    def finish(self) -> None:
        """Writes what is left and closes the file.

        Raises:
          av.FFmpegError: it cannot be encoded or written.
        """
        self._container.mux(self._stream.encode(None))
        self._container.close()
        if self._is_gif and self._comment:
            _add_comment(self._path, self._comment)

    def abandon(self) -> None:
        """Closes the file as it is."""
        with contextlib.suppress(*FAILURES):
            self._container.close()


def shrink_video(path: Path, output: Path, *, width: int, seconds: float) -> None:
    """Writes the beginning of a video, small enough for a page.

    Args:
      path: a video.
      output: the .mp4 file to write.
      width: the most pixels across.
      seconds: the most that is taken.

    Raises:
      InputError: it cannot be read or written.
    """
    smaller = (("scale", f"min({width}\\,iw):-2"), *_YUV420)
    encoding = Encoding("libx264", {"crf": "27", "preset": "slow"}, smaller)
    video = open_video(path)
    encoder: VideoEncoder | None = None
    try:
        with contextlib.closing(video.timed()) as frames:  # type: ignore[type-var]  # a generator
            for time, frame in itertools.takewhile(lambda timed: timed[0] < seconds, frames):
                if encoder is None:
                    encoder = VideoEncoder(output, encoding, as_rate(video.fps), *frame.shape[:2])
                encoder.write(frame, time)
        if encoder is not None:
            encoder.finish()
    except FAILURES as error:
        raise InputError(f"cannot make {path} smaller for the page: {error}") from None
    finally:
        if encoder is not None:
            encoder.abandon()


def _add_comment(path: Path, comment: str) -> None:
    """Adds a comment to a gif, after its header: FFmpeg writes none."""
    content = path.read_bytes()
    flags = content[10]
    colors = 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0
    text = comment.encode("ascii", "replace")[:255]
    block = b"\x21\xfe" + bytes([len(text)]) + text + b"\x00"
    place = 13 + colors
    if content[place : place + 14] == b"\x21\xff\x0bNETSCAPE2.0":
        place += 19  # some players look for the number of repetitions first
    path.write_bytes(content[:place] + block + content[place:])


def _graph(encoding: Encoding, height: int, width: int) -> Any:
    graph = av.filter.Graph()
    source = f"video_size={width}x{height}:pix_fmt=rgb24:time_base=1/1000000:pixel_aspect=1/1"
    start, sink = graph.add("buffer", source), graph.add("buffersink")
    if encoding.filters is None:
        split, palette = graph.add("split"), graph.add("palettegen", "stats_mode=single")
        use = graph.add("paletteuse", "new=1")
        start.link_to(split)
        split.link_to(palette, 0, 0)
        split.link_to(use, 1, 0)
        palette.link_to(use, 0, 1)
        use.link_to(sink)
        graph.configure()
        return graph
    nodes = [graph.add(name, options) for name, options in encoding.filters]
    graph.link_nodes(start, *nodes, sink).configure()
    return graph
