"""Pictures that lose their proportions when they are resized, and a line that says so.

Proportions are those that a player shows: pixels of a video need not be square (DV, DVD, and what
was scaled to a square by ffmpeg, which keeps the proportions so). Frames are handed out as they are
stored, and resizing them to the proportions that are shown makes pixels square again.
"""

import sys
import threading
from collections.abc import Mapping

from tqdm import tqdm

Shape = tuple[int, ...]

_SQUARE: Mapping[str, float] = {}
_VISIBLE = 0.05  # change of the proportions; less is rounding, as of a box around a face


def is_squeezed(shape: Shape, size: tuple[int, ...], pixel_aspect: float = 1.0) -> bool:
    """Whether a picture visibly loses its proportions.

    Args:
      shape: (height, width, ...) of the picture.
      size: (height, width) that it is resized to, or its own if it is kept as it is stored.
      pixel_aspect: the width of its pixels over their height.
    """
    change = (shape[1] * pixel_aspect * size[0]) / (shape[0] * size[1])
    return not 1 - _VISIBLE <= change <= 1 + _VISIBLE


def squeeze_line(
    shapes: Mapping[str, Shape], size: tuple[int, ...], pixel_aspects: Mapping[str, float] = _SQUARE
) -> str:
    """A line that names pictures that lose their proportions.

    Args:
      shapes: (height, width, ...) of each picture, by what it is called.
      size: (height, width) that they are resized to.
      pixel_aspects: the width of a pixel over its height, by the same names; 1 for others.

    Returns:
      The line, or "" if none does.
    """
    squeezed = [
        f"{name} ({_describe(shape, pixel_aspects.get(name, 1.0))})"
        for name, shape in shapes.items()
        if is_squeezed(shape, size, pixel_aspects.get(name, 1.0))
    ]
    if not squeezed:
        return ""
    return (
        f"squeezed to {size[1]} x {size[0]}: {' and '.join(squeezed)}; crop to the same "
        "proportions first to keep shapes"
    )


def _describe(shape: Shape, pixel_aspect: float) -> str:
    stored = f"{shape[1]} x {shape[0]}"
    if pixel_aspect == 1:
        return stored
    return f"{stored}, shown as {round(shape[1] * pixel_aspect)} x {shape[0]}"


class SqueezeWarning:
    """Prints on stderr, once, that pictures lose their proportions. Any thread may call it."""

    def __init__(self) -> None:
        """Has nothing to say yet."""
        self._said = threading.Lock()  # locked once the warning is printed, never released

    @property
    def is_said(self) -> bool:
        """Whether it was printed, so that a further call does nothing."""
        return self._said.locked()

    def __call__(
        self,
        shapes: Mapping[str, Shape],
        size: tuple[int, ...],
        pixel_aspects: Mapping[str, float] = _SQUARE,
    ) -> None:
        """Takes the arguments of `squeeze_line`."""
        line = squeeze_line(shapes, size, pixel_aspects)
        if line and self._said.acquire(blocking=False):
            tqdm.write(f"warning: {line}", file=sys.stderr)
