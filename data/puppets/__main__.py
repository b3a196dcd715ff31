"""Draws clips of puppets into a folder.

  python -m data.puppets --output runs/puppets --clips 100 --frames 50 --size 64

makes a layout that training reads: OUTPUT/train/ and OUTPUT/test/ (a tenth as many clips, of other
identities), a folder of PNG frames or an mp4 a clip, named IDENTITY#MOTION.
"""

import argparse
import contextlib

from data.puppets import FRAMES_PER_SECOND
from data.puppets.data_set import check_numbers, draw_clips
from tpsm_jax.cli import ArgumentParser, folder_to_write, run_script
from tpsm_jax.runtime.run_lock import only_writer


def main() -> None:
    """Parses the flags and draws the clips."""
    args = parse_arguments()
    check_numbers(args.clips, args.frames, args.size)  # before the locks, which make the folder
    splits = [args.split] if args.split else ["train", "test"]
    with contextlib.ExitStack() as locks:
        for split in splits:
            locks.enter_context(only_writer(args.output / split, make_folder=True))
        count = draw_clips(
            args.output,
            splits,
            clips=args.clips,
            frames=args.frames,
            size=args.size,
            ending={"png": "/", "mp4": ".mp4"}[args.format],
        )
    print(f"wrote {count} clips to {args.output}")


def parse_arguments() -> argparse.Namespace:
    """The flags."""
    parser = ArgumentParser(__doc__)
    parser.prog = "python -m data.puppets"
    add = parser.add_argument
    add("--output", type=folder_to_write, required=True, help="folder to write the clips to")
    add("--clips", type=int, default=100, help="how many (of the training split if both are drawn)")
    add("--frames", type=int, default=50, help=f"a clip, at {FRAMES_PER_SECOND} a second")
    add("--size", type=int, default=256, help="side in pixels")
    add("--split", choices=("train", "test"), help="draw this one only")
    add("--format", choices=("png", "mp4"), default="png", help="folders of PNG frames, or videos")
    return parser.parse_args()


if __name__ == "__main__":
    run_script(main)
