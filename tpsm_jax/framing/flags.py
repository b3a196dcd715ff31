"""The flags of --crop and its kin, for the scripts that animate."""

import argparse

from tpsm_jax.cli import factor, positive
from tpsm_jax.errors import InputError
from tpsm_jax.framing.choice import Crop, parse_crop

_MOST_SCALE = 10.0


def add_framing_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that choose crops and what is written; see `source_crop`."""
    add = parser.add_argument
    metavar = "auto|none|center|face|subject|LEFT,TOP,SIZE"
    add(
        "--crop",
        type=parse_crop,
        default=Crop(),
        metavar=metavar,
        help="part of the source to animate (auto): auto takes pictures of the right proportions "
        "as they are, and the subject of others; none squeezes; subject is what is not "
        "transparent, or what has the model's keypoints; face needs pip install "
        "'tpsm_jax[crop]'",
    )
    add(
        "--crop_driving",
        type=parse_crop,
        default=Crop(),
        metavar=metavar,
        help="part of the driving clip to take, the same in all frames (auto)",
    )
    add(
        "--crop_scale",
        type=factor(1 / _MOST_SCALE, _MOST_SCALE),
        default=1.0,
        metavar="FACTOR",
        help="factor of the size of what face and subject find (1)",
    )
    for flag, whose in (("--face", "the source"), ("--face_driving", "the driving clip")):
        add(
            flag,
            type=positive,
            metavar="N",
            help=f"with face, which face of {whose} from the left, from 1 (the largest)",
        )
    add(
        "--paste_back",
        action="store_true",
        help="write the whole source picture at its own size, the animated part in its place",
    )
    add(
        "--side_by_side",
        action="store_true",
        help="write source, driving frame and result next to each other",
    )


def source_crop(args: argparse.Namespace) -> Crop:
    """What the flags ask for the source.

    Raises:
      InputError: they name a face, or a scale, where nothing is looked for.
    """
    fixed = ("none", "center", "box")
    if args.crop_scale != 1 and args.crop.way in fixed and args.crop_driving.way in fixed:
        raise InputError("--crop_scale is for what face and subject find: nothing is looked for")
    return _with_details(args.crop, args.face, args.crop_scale, "")


def driving_crop(args: argparse.Namespace) -> Crop:
    """What the flags ask for the driving clip; see `source_crop`."""
    return _with_details(args.crop_driving, args.face_driving, args.crop_scale, "_driving")


def _with_details(crop: Crop, face: int | None, scale: float, ending: str) -> Crop:
    if face is not None and crop.way != "face":
        raise InputError(f"--face{ending} is for --crop{ending} face, not for {crop.way}")
    return crop._replace(scale=scale, face=face)
