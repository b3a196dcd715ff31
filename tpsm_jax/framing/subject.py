"""The subject of a picture of any domain: by its alpha channel, or by the model's own keypoints."""

from collections.abc import Callable, Sequence

import numpy as np

from tpsm_jax.errors import InputError
from tpsm_jax.framing.boxes import Box, Region, box_around, crop, largest_box
from tpsm_jax.framing.steady import Margin

# Pictures [h, w, 3] of any sizes -> for each its keypoints [N, 2], (x, y) in [-1, 1].
FindPoints = Callable[[Sequence[np.ndarray]], list[np.ndarray]]

# Around the keypoints of a figure that fills its picture as in training.
MARGIN = Margin(1.4, 1.2, 0.05)
_OPAQUE = 32  # of 255: less is a shadow or the halo of a cut-out
_LOOKS = 4  # crop, find, crop again
_MOST_PLACES = 12  # along a side: a panorama is looked at in gaps


def opaque_region(alpha: np.ndarray) -> Region | None:
    """The part of a picture that is not transparent, None if all or nothing of it is.

    Args:
      alpha: [H, W] uint8.
    """
    opaque = alpha >= _OPAQUE
    if opaque.all() or not opaque.any():
        return None
    rows, columns = (np.flatnonzero(opaque.any(axis=axis)) for axis in (1, 0))
    return Region(columns[0], rows[0], columns[-1] + 1.0, rows[-1] + 1.0)


def keypoint_regions(
    pictures: Sequence[np.ndarray], find_points: FindPoints, proportions: float
) -> list[Region]:
    """The parts of pictures that a model's keypoints lie in.

    In a crop without the subject keypoints lie anywhere, and those of crops that show it agree. So
    the first picture is looked at in crops of several places and sizes, each is cropped again
    around its keypoints a few times, and the place where most of them end is taken. In further
    frames the search begins where it ended before.

    Args:
      pictures: [H, W, 3] uint8 of one size: a picture, or frames of a clip.
      find_points: the model's detector.
      proportions: width over height of the model's pictures, in stored pixels.

    Raises:
      InputError: the detector's weights are broken.
    """
    boxes = _starts(pictures[0].shape, proportions)
    regions = []
    for picture in pictures:
        region = _where_most_end(picture, boxes, find_points, proportions)
        regions.append(region)
        boxes = [box_around(MARGIN.around(region, one=True), picture.shape, proportions)]
    return regions


def _where_most_end(
    picture: np.ndarray, boxes: Sequence[Box], find_points: FindPoints, proportions: float
) -> Region:
    """Crops, finds, and crops again from every box; returns where most of them end."""
    votes = [np.sqrt(box.width * box.height) for box in boxes]  # of small crops there are more
    for look in range(_LOOKS):
        found = find_points([crop(picture, box) for box in boxes])
        regions = [_spanned(points, box) for points, box in zip(found, boxes, strict=True)]
        around = [MARGIN.around(region, one=True) for region in regions]
        if look < _LOOKS - 1:
            boxes = [box_around(each, picture.shape, proportions) for each in around]
    agreement = [
        sum(vote * _overlap(one, other) for vote, other in zip(votes, regions, strict=True))
        for one in regions
    ]
    return regions[int(np.argmax(agreement))]


def _starts(shape: Sequence[int], proportions: float) -> list[Box]:
    """Crops to begin with, from the largest ones to small ones, all over the picture."""
    rows, columns = shape[:2]
    whole = largest_box(shape, proportions)
    boxes = []
    for share in (1.0, 0.6, 0.36):
        wide, tall = (max(1, round(share * side)) for side in (whole.width, whole.height))
        lefts = np.linspace(0, columns - wide, _places(columns, wide)).round().astype(int)
        tops = np.linspace(0, rows - tall, _places(rows, tall)).round().astype(int)
        boxes += [Box(int(left), int(top), wide, tall) for top in tops for left in lefts]
    return boxes


def _places(length: int, part: int) -> int:
    """How many overlapping parts are looked at along a side."""
    return min(_MOST_PLACES, 1 + int(np.ceil((length - part) / (part / 2))))


def _spanned(points: np.ndarray, box: Box) -> Region:
    """The region that keypoints (x, y) in [-1, 1] of a crop span, in pixels of the picture."""
    if not np.isfinite(points).all():
        raise InputError(
            "the keypoints are not finite numbers: the checkpoint's weights are broken"
        )
    places = (points + 1) / 2 * (box.width, box.height) + (box.left, box.top)
    return Region(*places.min(axis=0).tolist(), *places.max(axis=0).tolist())


def _overlap(one: Region, other: Region) -> float:
    """The area that two regions share, over the area that they cover; in [0, 1]."""
    across = min(one.right, other.right) - max(one.left, other.left)
    down = min(one.bottom, other.bottom) - max(one.top, other.top)
    shared = max(0.0, across) * max(0.0, down)
    areas = float(np.prod(one.sides) + np.prod(other.sides))
    return shared / (areas - shared) if shared else 0.0
