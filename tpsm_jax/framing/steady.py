"""One box for a whole clip, from what was found in frames that are spread over it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tpsm_jax.framing.boxes import Box, Region, box_around, enlarged, is_within, union

# A find counts as wrong where its side is so many times larger or smaller than the usual one's, or
# where it is farther away from the usual place than so many usual sides and usual distances.
_SIZE, _SIDES, _DISTANCES = 2.0, 0.5, 4.0


class Margin(NamedTuple):
    """What is left around a find.

    Attributes:
      one: sides of the box over those of what was found in a single picture.
      all_frames: the same over those of what all frames of a clip span together.
      lift: how far the box's middle is above the find's, over the box's height.
    """

    one: float
    all_frames: float
    lift: float = 0.0

    def around(self, region: Region, *, one: bool) -> Region:
        """A find with its margin."""
        wide = enlarged(region, self.one if one else self.all_frames)
        up = self.lift * wide.sides[1]
        return Region(wide.left, wide.top - up, wide.right, wide.bottom - up)


NO_MARGIN = Margin(1.0, 1.0)


class ClipBox(NamedTuple):
    """Where a clip is cropped.

    Attributes:
      box: one crop for all frames, because motion is measured within it.
      outside: which of the regions do not lie in it, as positions in the list that was given;
        those that were taken for wrong finds are not among them.
      strays: the positions of the wrong finds.
    """

    box: Box
    outside: list[int]
    strays: list[int]


def clip_box(
    regions: Sequence[Region | None],
    shape: Sequence[int],
    proportions: float,
    margin: Margin = NO_MARGIN,
) -> ClipBox | None:
    """A box around everything that was found in a clip, but for wrong finds.

    Args:
      regions: what was found in each of the frames that were looked at; None for nothing.
      shape: (height, width, ...) of the frames.
      proportions: width over height of the box, in stored pixels.
      margin: what is left around them.

    Returns:
      The box, or None if nothing was found at all.
    """
    found = [(number, region) for number, region in enumerate(regions) if region is not None]
    if not found:
        return None
    usual = _are_usual([region for _, region in found])
    kept = [pair for pair, is_usual in zip(found, usual, strict=True) if is_usual]
    strays = [number for (number, _), is_usual in zip(found, usual, strict=True) if not is_usual]
    spanned = margin.around(union([region for _, region in kept]), one=len(regions) == 1)
    box = box_around(spanned, shape, proportions)
    return ClipBox(box, [number for number, region in kept if not is_within(region, box)], strays)


def _are_usual(regions: Sequence[Region]) -> np.ndarray:
    """For each region whether it has about the size and the place of most others; bool [N]."""
    sides = np.sqrt([max(float(np.prod(region.sides)), 1e-9) for region in regions])
    centers = np.array([region.center for region in regions])
    side = np.median(sides)
    away = np.linalg.norm(centers - np.median(centers, axis=0), axis=1)
    near = away <= _SIDES * side + _DISTANCES * np.median(away)
    usual = near & (sides < _SIZE * side) & (sides > side / _SIZE)
    return usual if usual.any() else np.ones_like(usual)  # no two agree: enclose them all
