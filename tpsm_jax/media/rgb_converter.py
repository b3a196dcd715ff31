"""Decoded frames as upright RGB, converted by FFmpeg's filters as its program does."""

import functools
import math
import threading
from typing import Any, NamedTuple

import av
import numpy as np

# The transfer functions PQ and HLG of high dynamic range, by their numbers in ITU-T H.273.
_HDR = (16, 18)
_TONE_MAPPED = "out_primaries=bt709:out_transfer=bt709:intent=perceptual"


class _Look(NamedTuple):
    """What filters are made for."""

    width: int
    height: int
    pixels: str
    space: int
    range: int
    primaries: int
    is_hdr: bool
    rotation: int


class RgbConverter:
    """Turns frames of a video into arrays, bit for bit as the ffmpeg program with `-pix_fmt rgb24`.

    Frames come upright by the display matrix that cameras and editors write, turns and flips
    alike. Pictures of high dynamic range (PQ, HLG) are tone-mapped to BT.709 by swscale; ffmpeg's
    program would only convert the numbers. An alpha channel is dropped.
    """

    def __init__(self) -> None:
        """Makes its filters when the first frame comes, and again when its format changes."""
        self._look: _Look | None = None
        self._matrix: tuple[int, ...] | None = None
        self._graph: Any = None

    @property
    def is_turned(self) -> bool:
        """Whether rows of the last frame became columns."""
        return any(name == "transpose" for name, _ in _upright(self._matrix))

    def __call__(self, frame: Any) -> np.ndarray:
        """Converts a PyAV frame to [H, W, 3] uint8.

        Raises:
          av.FFmpegError: swscale cannot convert its format.
        """
        look = _Look(
            *(frame.width, frame.height, frame.format.name),
            *(int(frame.colorspace), int(frame.color_range), int(frame.color_primaries)),
            is_hdr=frame.color_trc in _HDR,
            rotation=frame.rotation,
        )
        if look != self._look:
            self._look = None
            self._matrix = _display_matrix(frame)
            self._graph = None if look.is_hdr else _graph(look, self._matrix)
            self._look = look
        if look.is_hdr:
            lock, graph = _tone_mapper(look, self._matrix, frame.color_trc)
            with lock:
                graph.push(frame)
                return graph.pull().to_ndarray()
        self._graph.push(frame)
        return self._graph.pull().to_ndarray()


# Swscale computes for seconds before the first frame, so all readers of a process share these.
@functools.lru_cache(maxsize=4)
def _tone_mapper(
    look: _Look, matrix: tuple[int, ...] | None, transfer: int
) -> tuple[threading.Lock, Any]:
    del transfer  # that of the frames; it only tells tone mappers apart
    return threading.Lock(), _graph(look, matrix)


def _graph(look: _Look, matrix: tuple[int, ...] | None) -> Any:
    graph = av.filter.Graph()
    if not look.is_hdr:
        graph.threads = 1  # starting more takes longer than a frame, and readers have their own
    source = f"video_size={look.width}x{look.height}:pix_fmt={look.pixels}:pixel_aspect=1/1"
    source += f":time_base=1/1000000:colorspace={look.space}:range={look.range}"
    nodes = [graph.add("buffer", source)]
    filters = [*_upright(matrix), *_to_rgb(look.is_hdr)]
    nodes += [graph.add(name, options or None) for name, options in filters]
    graph.link_nodes(*nodes, graph.add("buffersink")).configure()
    return graph


def _to_rgb(is_hdr: bool) -> list[tuple[str, str]]:
    return [*([("scale", _TONE_MAPPED)] if is_hdr else []), ("format", "rgb24")]


def _display_matrix(frame: Any) -> tuple[int, ...] | None:
    # A frame whose side data were read is a circle of references, which keeps its pixels until
    # Python's garbage collector runs. So a small one with the same side data is asked.
    found = frame.reformat(width=16, height=16, format="gray").side_data.get("DISPLAYMATRIX")
    return None if found is None else tuple(np.frombuffer(bytes(found), np.int32).tolist())


def _upright(matrix: tuple[int, ...] | None) -> list[tuple[str, str]]:
    """The filters that the ffmpeg program inserts for a display matrix (its `-autorotate`)."""
    if matrix is None:
        return []
    columns = math.hypot(matrix[0], matrix[3]), math.hypot(matrix[1], matrix[4])
    if not all(columns):
        return []
    angle = math.degrees(math.atan2(matrix[1] / columns[1], matrix[0] / columns[0])) % 360
    if abs(angle - 90) < 1:
        return [("transpose", "cclock_flip" if matrix[3] > 0 else "clock")]
    if abs(angle - 180) < 1:
        return [("hflip", "")] * (matrix[0] < 0) + [("vflip", "")] * (matrix[4] < 0)
    if abs(angle - 270) < 1:
        return [("transpose", "clock_flip" if matrix[3] < 0 else "cclock")]
    if 1 < angle < 359:
        return [("rotate", f"{angle}*PI/180")]
    return [("vflip", "")] * (matrix[4] < 0)
