"""Rectangles in pictures: crops of given proportions that lie within the picture."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tpsm_jax.errors import InputError


class Box(NamedTuple):
    """A crop, in whole pixels of the picture as it is stored.

    Attributes:
      left: the first column.
      top: the first row.
      width: columns.
      height: rows.
    """

    left: int
    top: int
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width} x {self.height} at {self.left},{self.top}"


class Region(NamedTuple):
    """What was found in a picture, in pixels from its left and top border; may lie beyond it."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def center(self) -> tuple[float, float]:
        """The middle, (x, y)."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    @property
    def sides(self) -> tuple[float, float]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top


def crop(picture: np.ndarray, box: Box) -> np.ndarray:
    """The part of a picture [H, W, ...] within a box, without a copy."""
    return picture[box.top : box.top + box.height, box.left : box.left + box.width]


def largest_box(shape: Sequence[int], proportions: float) -> Box:
    """The largest box of given proportions, in the middle of the picture.

    Args:
      shape: (height, width, ...) of the picture.
      proportions: width over height, in stored pixels.
    """
    height, width = shape[:2]
    return box_around(Region(0, 0, width, height), shape, proportions)


def box_around(region: Region, shape: Sequence[int], proportions: float) -> Box:
    """The smallest box of given proportions around a region, moved into the picture.

    Args:
      region: what to enclose.
      shape: (height, width, ...) of the picture.
      proportions: width over height, in stored pixels.

    Returns:
      A box around the region's middle. It is moved where it would reach beyond the picture, and
      shrunk where the picture is too small for it.
    """
    rows, columns = shape[:2]
    width, height = region.sides
    tall = min(max(height, width / proportions), rows, columns / proportions)
    high = max(1, min(round(tall), rows))
    wide = max(1, min(round(tall * proportions), columns))
    x, y = region.center
    left = min(max(round(x - wide / 2), 0), columns - wide)
    top = min(max(round(y - high / 2), 0), rows - high)
    return Box(left, top, wide, high)


def box_at(
    left: int, top: int, size: int, shape: Sequence[int], proportions: float, what: str
) -> Box:
    """The box that a person asked for.

    Args:
      left: the first column.
      top: the first row.
      size: rows; columns follow from the proportions.
      shape: (height, width, ...) of the picture.
      proportions: width over height, in stored pixels.
      what: the picture's name, for the error.

    Raises:
      InputError: it does not lie within the picture.
    """
    box = Box(left, top, max(1, round(size * proportions)), size)
    rows, columns = shape[:2]
    if min(left, top) < 0 or left + box.width > columns or top + box.height > rows:
        raise InputError(f"the crop {box} does not lie within {what} of {columns} x {rows}")
    return box


def enlarged(region: Region, factor: float) -> Region:
    """A region whose sides are `factor` times as long, around the same middle."""
    (x, y), (width, height) = region.center, region.sides
    across, down = factor * width / 2, factor * height / 2
    return Region(x - across, y - down, x + across, y + down)


def union(regions: Sequence[Region]) -> Region:
    """The smallest region that holds all others."""
    left, top = (min(region[side] for region in regions) for side in (0, 1))
    right, bottom = (max(region[side] for region in regions) for side in (2, 3))
    return Region(left, top, right, bottom)


def is_within(region: Region, box: Box, *, tolerance: float = 0.02) -> bool:
    """Whether a region lies in a box, but for a part of the box's sides."""
    across, down = tolerance * box.width, tolerance * box.height
    return (
        region.left >= box.left - across
        and region.top >= box.top - down
        and region.right <= box.left + box.width + across
        and region.bottom <= box.top + box.height + down
    )
