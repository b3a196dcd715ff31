"""Pictures that lose their proportions when they are resized, and a line that says so."""

import sys
import threading
from collections.abc import Mapping

from tqdm import tqdm

Shape = tuple[int, ...]

_VISIBLE = 0.05  # change of the proportions; less is rounding, as of a box around a face


def is_squeezed(shape: Shape, size: tuple[int, int]) -> bool:
    """Whether a picture visibly loses its proportions.

    Args:
      shape: (height, width, ...) of the picture.
      size: (height, width) that it is resized to.
    """
    change = (shape[1] * size[0]) / (shape[0] * size[1])
    return not 1 - _VISIBLE <= change <= 1 + _VISIBLE


def squeeze_line(shapes: Mapping[str, Shape], size: tuple[int, int]) -> str:
    """A line that names pictures that lose their proportions.

    Args:
      shapes: (height, width, ...) of each picture, by what it is called.
      size: (height, width) that they are resized to.

    Returns:
      The line, or "" if none does.
    """
    squeezed = [
        f"{name} ({shape[1]} x {shape[0]})"
        for name, shape in shapes.items()
        if is_squeezed(shape, size)
    ]
    if not squeezed:
        return ""
    return (
        f"squeezed to {size[1]} x {size[0]}: {' and '.join(squeezed)}; crop to the same "
        "proportions first to keep shapes"
    )


class SqueezeWarning:
    """Prints on stderr, once, that pictures lose their proportions. Any thread may call it."""

    def __init__(self) -> None:
        """Has nothing to say yet."""
        self._unsaid = threading.Lock()  # taken by whoever says it

    def __call__(self, shapes: Mapping[str, Shape], size: tuple[int, int]) -> None:
        """Takes the arguments of `squeeze_line`."""
        line = squeeze_line(shapes, size)
        if line and self._unsaid.acquire(blocking=False):
            tqdm.write(f"warning: {line}", file=sys.stderr)
