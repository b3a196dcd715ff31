"""What a person asks for with --crop, and the box that follows from it."""

import argparse
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from tpsm_jax.framing.boxes import Box, Region, box_at, largest_box
from tpsm_jax.framing.faces import choose_face, find_faces, nearest
from tpsm_jax.framing.steady import Margin, clip_box
from tpsm_jax.framing.subject import MARGIN, FindPoints, keypoint_regions
from tpsm_jax.media.proportions import is_squeezed

WAYS = ("auto", "none", "center", "face", "subject")
# Around a face as YuNet finds it: of the official demo's picture and clip, which are crops as
# VoxCeleb has them, sides are 1.45 times a face and 1.27 times the span of all faces, and the
# face's middle is 0.06 to 0.07 below the picture's.
FACE_MARGIN = Margin(1.45, 1.3, 0.06)
OPAQUE_MARGIN = Margin(1.1, 1.1)
_MOST_FRAMES = 16  # of a clip that are looked at


class Crop(NamedTuple):
    """How to crop.

    Attributes:
      way: one of `WAYS`, or 'box'.
      place: (left, top, size) of 'box', in pixels.
      scale: factor of the sides of the box that 'face' and 'subject' find.
      face: which face from the left, from 1; None for the largest.
    """

    way: str = "auto"
    place: tuple[int, int, int] | None = None
    scale: float = 1.0
    face: int | None = None


class Look(NamedTuple):
    """What is known of the pictures that are cropped.

    Attributes:
      name: what they are called: "the source", "the driving clip".
      flag: the flag that asks for another crop.
      size: (height, width) that they are resized to.
      find_points: the model's keypoints in pictures, for 'subject'.
      pixel_aspect: the width of their pixels over their height.
      opaque: the part that is not transparent, if that is known; see `opaque_region`.
    """

    name: str
    flag: str
    size: tuple[int, int]
    find_points: FindPoints
    pixel_aspect: float = 1.0
    opaque: Region | None = None

    @property
    def proportions(self) -> float:
        """Width over height of a box, in stored pixels."""
        return self.size[1] / self.size[0] / self.pixel_aspect


class Choice(NamedTuple):
    """Where pictures are cropped.

    Attributes:
      box: None to take them as they are.
      notes: lines for people: which crop, how to change it, and what may be wrong with it.
    """

    box: Box | None
    notes: tuple[str, ...] = ()


def parse_crop(text: str) -> Crop:
    """Parses the value of --crop."""
    if text in WAYS:
        return Crop(text)
    parts = text.split(",")
    if len(parts) == 3 and all(part.strip().isdecimal() for part in parts) and int(parts[2]) > 0:
        left, top, size = map(int, parts)
        return Crop("box", (left, top, size))
    raise argparse.ArgumentTypeError(
        f"{text!r} is none of {', '.join(WAYS)}, and no LEFT,TOP,SIZE in pixels"
    )


def spread(frames: Iterable[np.ndarray]) -> list[np.ndarray]:
    """Some 8 to 16 frames, evenly spread over a clip of any length, which is read once."""
    kept: list[np.ndarray] = []
    step = 1
    for number, frame in enumerate(frames):
        if number % step == 0:
            kept.append(frame)
        if len(kept) > _MOST_FRAMES:
            del kept[1::2]
            step *= 2
    return kept


def choose_box(pictures: Sequence[np.ndarray], crop: Crop, look: Look) -> Choice:
    """One box for a picture, or for all frames of a clip.

    Args:
      pictures: the picture, or frames that are spread over the clip: [H, W, 3] uint8 of one size.
      crop: what was asked for.
      look: what is known of the pictures.

    Raises:
      InputError: there is no face, not so many, or the box lies outside.
    """
    shape, way = pictures[0].shape, crop.way
    if way == "none" or way == "auto" and not is_squeezed(shape, look.size, look.pixel_aspect):
        return Choice(None)
    if way == "auto":
        way = "subject"
    if way == "box" and crop.place is not None:
        return Choice(box_at(*crop.place, shape, look.proportions, look.name))
    if way == "center":
        return _chosen(largest_box(shape, look.proportions), "the middle", shape, look)
    found, what, margin, notes = _find(pictures, way, crop, look)
    margin = Margin(crop.scale * margin.one, crop.scale * margin.all_frames, margin.lift)
    made = clip_box(found, shape, look.proportions, margin)
    assert made is not None, "whoever finds nothing raises"
    if made.strays:
        notes.append(
            f"{look.name}: took no notice of {len(made.strays)} of {len(pictures)} frames looked "
            f"at, where {what} seems to be elsewhere"
        )
    if made.outside:
        notes.append(
            f"{look.name}: {what} does not fit into the crop in {len(made.outside)} of "
            f"{len(pictures)} frames looked at"
        )
    box, lines = _chosen(made.box, what, shape, look)
    return Choice(box, (*lines, *notes))


def _find(
    pictures: Sequence[np.ndarray], way: str, crop: Crop, look: Look
) -> tuple[Sequence[Region | None], str, Margin, list[str]]:
    """What is to be enclosed in each picture; what it is; what to leave around it; and notes."""
    if way == "face":
        faces, notes = _follow_face([find_faces(picture) for picture in pictures], crop, look)
        return faces, "the face", FACE_MARGIN, notes
    if look.opaque is not None:  # only a single picture's is known
        return [look.opaque], "what is not transparent", OPAQUE_MARGIN, []
    regions = keypoint_regions(pictures, look.find_points, look.proportions)
    return regions, "the keypoints", MARGIN, []


def _follow_face(
    found: Sequence[list[Region]], crop: Crop, look: Look
) -> tuple[list[Region | None], list[str]]:
    """One face through a clip: the one asked for, then in each frame the one nearest to it."""
    first = next((faces for faces in found if faces), [])
    face = choose_face(first, crop.face, look.name, look.flag)
    notes = []
    if len(first) > 1 and crop.face is None:
        notes.append(
            f"{look.name} shows {len(first)} faces: took the largest, number "
            f"{first.index(face) + 1} from the left ({look.flag.replace('crop', 'face')} N takes "
            "another)"
        )
    followed: list[Region | None] = []
    for faces in found:
        if faces:
            face = nearest(faces, face)
        followed.append(face if faces else None)
    return followed, notes


def _chosen(box: Box, what: str, shape: Sequence[int], look: Look) -> Choice:
    line = (
        f"{look.name}: cropped to {box} of {shape[1]} x {shape[0]}, around {what} "
        f"({look.flag} takes another way or LEFT,TOP,SIZE)"
    )
    return Choice(box, (line,))
