"""The flags that change the motion, for the scripts that animate."""

import argparse
from pathlib import Path

from tpsm_jax.animation.inputs import MOST_MOTION
from tpsm_jax.animation.motion import Motion, looped, smoothed
from tpsm_jax.animation.motion_file import SUFFIX
from tpsm_jax.cli import factor, local_path, seconds


def add_motion_flags(parser: argparse.ArgumentParser) -> None:
    """Adds --find_best_frame, --motion_scale, --smooth, --loop and --save_motion."""
    add = parser.add_argument
    add(
        "--find_best_frame",
        action="store_true",
        help="measure motion from the driving frame most like the source, not from the first",
    )
    add(
        "--motion_scale",
        type=factor(0, MOST_MOTION),
        default=1.0,
        metavar="FACTOR",
        help="factor of the motion in mode relative: 0.5 moves half as far (1)",
    )
    add(
        "--smooth",
        type=seconds,
        metavar="SECONDS",
        help="take jitter out of the motion, e.g. 0.3; longer also takes quick movements out",
    )
    add("--loop", action="store_true", help="end where the clip began: the last second leads there")
    add(
        "--save_motion",
        type=_motion_path,
        metavar="FILE.npz",
        help="write the keypoints found in the driving clip; --driving takes the file in its place",
    )


def check_motion_flags(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Ends the script if flags have no effect together, or would write one file twice."""
    if args.motion_scale != 1 and args.mode != "relative":
        parser.error("argument --motion_scale: is for mode relative")
    if args.save_motion is None:
        return
    if args.output is None:
        given = ("smooth", "loop", "find_best_frame", "paste_back", "side_by_side")
        unused = [name for name in given if getattr(args, name)]
        unused += ["motion_scale"] * (args.motion_scale != 1)
        if unused:
            parser.error(
                f"argument --{unused[0]}: changes what --output gets, and a saved motion is as it "
                "was found"
            )
    elif args.save_motion.resolve() == Path(args.output).resolve():
        parser.error("argument --save_motion: is the same file as --output")


def needs_whole_motion(args: argparse.Namespace) -> bool:
    """Whether all poses have to be known before the first frame is painted."""
    return args.smooth is not None or args.loop or args.save_motion is not None


def changed(motion: Motion, args: argparse.Namespace) -> Motion:
    """A motion smoothed and looped as the flags say.

    Raises:
      InputError: see `smoothed`.
    """
    motion = motion if args.smooth is None else smoothed(motion, args.smooth)
    return looped(motion) if args.loop else motion


def _motion_path(text: str) -> Path:
    if not text.lower().endswith(SUFFIX):
        raise argparse.ArgumentTypeError(f"{text!r} does not end in {SUFFIX}")
    path = local_path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a folder")
    return path
