"""Draws clips of puppets into a folder.

  python -m data.puppets --output runs/puppets --clips 100 --frames 50 --size 64

makes a layout that training reads: OUTPUT/train/ and OUTPUT/test/ (a tenth as many clips, of other
identities), a folder of PNG frames or an mp4 a clip, named IDENTITY#MOTION.
"""

import argparse
from pathlib import Path

from tqdm import tqdm

from data.puppets import FRAMES_PER_SECOND, clip_frames, split_identities
from tpsm_jax.errors import ArgumentParser, InputError, run_script
from tpsm_jax.video_writer import FrameWriter

CLIPS_AN_IDENTITY = 2  # id sampling draws among the clips of one identity


def main() -> None:
    """Parses the flags and draws."""
    args = parse_arguments()
    if args.clips < 1 or args.frames < 1 or args.size < 16:
        raise InputError("--clips and --frames start at 1, --size at 16 pixels")
    splits = [args.split] if args.split else ["train", "test"]
    clips = []
    for split in splits:
        count = args.clips if args.split or split == "train" else max(2, args.clips // 10)
        clips += [(split, *clip) for clip in choose_clips(split, count)]
    for split, identity, motion in tqdm(clips, "drawing", unit="clip"):
        name = f"{identity:07d}#{motion:07d}"
        folder = args.output / split
        path = str(folder / name) + {"png": "/", "mp4": ".mp4"}[args.format]
        folder.mkdir(parents=True, exist_ok=True)
        with FrameWriter(path, fps=FRAMES_PER_SECOND) as writer:
            for frame in clip_frames(identity, motion, num_frames=args.frames, size=args.size):
                writer.write(frame)
    print(f"wrote {len(clips)} clips to {args.output}")


def choose_clips(split: str, count: int) -> list[tuple[int, int]]:
    """(identity, motion) of the first `count` clips of a split; no motion comes twice in it."""
    first = split_identities(split).start
    return [(first + index // CLIPS_AN_IDENTITY, first + index) for index in range(count)]


def parse_arguments() -> argparse.Namespace:
    """The flags."""
    parser = ArgumentParser(__doc__)
    parser.prog = "python -m data.puppets"
    add = parser.add_argument
    add("--output", type=Path, required=True, help="folder to write the clips to")
    add("--clips", type=int, default=100, help="how many (of the training split if both are drawn)")
    add("--frames", type=int, default=50, help=f"a clip, at {FRAMES_PER_SECOND} a second")
    add("--size", type=int, default=256, help="side in pixels")
    add("--split", choices=("train", "test"), help="draw this one only")
    add("--format", choices=("png", "mp4"), default="png", help="folders of PNG frames, or videos")
    return parser.parse_args()


if __name__ == "__main__":
    run_script(main)
