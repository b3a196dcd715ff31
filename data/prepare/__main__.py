"""Prepares a data set once, so that training reads it fast.

  python -m data.prepare --dataset vox --input DIR --output OUT

DIR has the layout for training: train/ and test/ with folders of frames, videos, gifs or wide
pictures. TensorFlow Datasets and train.py read OUT. Run the same command again to resume, after it
was stopped or killed or the disk was full. Clips that cannot be read are left out and named in
OUT/broken.json. With a table of boxes, DIR holds raw videos to cut clips from:

  python -m data.prepare --dataset vox --input VIDEOS --boxes vox-metadata.csv --output OUT

--dataset puppets takes no DIR: its clips are drawn. docs/data.md describes the files of OUT.
"""

import argparse
import os
import shutil
import sys

from data.clip import Clip
from data.prepare import is_prepared
from data.prepare.encoding import DEFAULT_QUALITY, FORMATS, Encoding, squeezed_line
from data.prepare.finish import count_squeezed, finish, write_report
from data.prepare.layout import BROKEN, UNFINISHED
from data.prepare.settings import Settings, begin, only_run
from data.prepare.shards import Shard, plan_shards
from data.prepare.sources import KINDS, draw_puppet_clips, find_folder_clips
from data.prepare.workers import drop_shards_with_broken_clips, write_shards
from data.roots import FOLDER
from tpsm_jax.cli import ArgumentParser, folder_to_write, local_path, run_script
from tpsm_jax.errors import InputError
from tpsm_jax.runtime.apart import refuse_within


def main() -> None:
    """Parses the flags and prepares."""
    args = parse_arguments()
    size = args.size or KINDS[args.dataset].size
    encoding = Encoding(args.format, args.quality, (size, size) if size else None)
    _check_places(args)
    clips = _find_clips(args, size)
    settings = Settings.of(args.dataset, encoding, clips, args.frame_shape)
    shards = [
        shard
        for split, members in clips.items()
        for shard in plan_shards(args.output, args.dataset, split, members)
    ]
    if begin(args.output, settings):
        shutil.rmtree(args.output / UNFINISHED, ignore_errors=True)
        if args.retry_broken:
            raise InputError(
                f"{args.output} is finished, and its clips cannot be read again: give another "
                "--output"
            )
        print(f"{args.output} is prepared already")
        return
    if args.input is not None and args.boxes is None:
        for split, members in clips.items():
            _warn(FOLDER.notes(args.input, split, members))
    with only_run(args.output):
        _prepare(args, encoding, settings, shards)


def _prepare(
    args: argparse.Namespace, encoding: Encoding, settings: Settings, shards: list[Shard]
) -> None:
    if args.retry_broken:
        drop_shards_with_broken_clips(shards)
    if args.beam is None:
        write_shards(shards, encoding, args.workers)
    else:
        from data.prepare.beam import write_shards_on_beam

        write_shards_on_beam(shards, encoding, args.beam)
    broken = write_report(args.output, shards)
    report = args.output / BROKEN
    if broken > args.max_broken:
        raise InputError(
            f"{broken} broken clips, named in {report}, are more than --max_broken "
            f"{args.max_broken}; the others are done: run again with --max_broken {broken}, or "
            "mend them and run again with --retry_broken"
        )
    if squeezed := count_squeezed(shards):
        _warn([squeezed_line(squeezed, sum(settings.splits.values()), encoding)])
    finish(args.output, settings, shards)
    left_out = f", without {broken} broken ones, named in {report}" if broken else ""
    count = sum(settings.splits.values()) - broken
    print(f"prepared {count} clips in {args.output}{left_out}")


def _warn(lines: list[str]) -> None:
    for line in lines:
        print(f"warning: {line}", file=sys.stderr)


def parse_arguments() -> argparse.Namespace:
    """The flags.

    Raises:
      InputError: a flag is wrong, or two of them conflict.
    """
    parser = ArgumentParser(__doc__)
    parser.prog = "python -m data.prepare"
    add = parser.add_argument
    titles = "; ".join(f"{name}: {kind.title}" for name, kind in KINDS.items())
    add("--dataset", choices=tuple(KINDS), required=True, help=titles)
    add("--input", type=local_path, help="folder of clips, or with --boxes of raw videos")
    add("--output", type=folder_to_write, required=True, help="folder of the prepared data set")
    add("--size", type=int, help="side of frames in pixels; the data set's own if not given")
    add("--format", choices=FORMATS, default="jpeg", help="encoding of a frame; png is lossless")
    add("--quality", type=int, default=DEFAULT_QUALITY, help="JPEG quality, 1 to 100 (%(default)s)")
    add(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes; all cores if not given"
    )
    add("--max_broken", type=int, default=0, help="clips that may be left out (%(default)s)")
    add(
        "--retry_broken",
        action="store_true",
        help="read the clips again that were broken the last time",
    )
    add("--boxes", type=local_path, help="table of boxes to cut clips from raw videos by")
    add(
        "--frame_shape",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="size of the frames in wide pictures",
    )
    add("--clips", type=int, default=100, help="puppet clips for training (%(default)s)")
    add("--frames", type=int, default=50, help="frames per puppet clip (%(default)s)")
    add(
        "--beam",
        nargs="?",
        const="",
        metavar="OPTIONS",
        help="run on Apache Beam, with its options in one string: --beam='--runner=... ...'",
    )
    args = parser.parse_args()
    args.frame_shape = args.frame_shape and tuple(args.frame_shape)
    is_drawn = KINDS[args.dataset].is_drawn
    if is_drawn == (args.input is not None):
        parser.error("give --input, a folder, for every data set but puppets, which are drawn")
    if args.frame_shape and min(args.frame_shape) < 1:
        parser.error("--frame_shape is the height and the width of a frame, from 1 up")
    if is_drawn and args.boxes:
        parser.error("puppets have no --boxes")
    for name, least, most in (
        ("size", 16, 8192),
        ("quality", 1, 100),
        ("workers", 1, 4096),
        ("max_broken", 0, 10**9),
    ):
        value = getattr(args, name)
        if value is not None and not least <= value <= most:
            parser.error(f"--{name} is from {least} to {most}, not {value}")
    return args


def _check_places(args: argparse.Namespace) -> None:
    if args.input is None:
        return
    if is_prepared(args.input):
        raise InputError(f"{args.input} is prepared already: give --input the folder it is from")
    refuse_within(args.output, "--output", args.input, "--input")


def _find_clips(args: argparse.Namespace, size: int | None) -> dict[str, list[Clip]]:
    if KINDS[args.dataset].is_drawn:
        assert size is not None  # puppets have one
        return draw_puppet_clips(args.clips, args.frames, size)
    return find_folder_clips(args.input, args.boxes, args.frame_shape, size)


if __name__ == "__main__":
    run_script(main)
