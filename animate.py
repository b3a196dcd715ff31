r"""Animates a picture with the motion of a clip.

  python animate.py --checkpoint checkpoints/vox --source source.png --driving driving.mp4 \
      --output result.mp4
"""

import argparse
import sys
import time
from pathlib import Path

import jax.numpy as jnp
from tqdm import tqdm

from tpsm_jax.animation.animator import Animator
from tpsm_jax.checkpoints.converted import add_checkpoint_flags, load_checkpoint
from tpsm_jax.cli import ArgumentParser, picture_size, positive, run_script
from tpsm_jax.errors import InputError
from tpsm_jax.media.images import read_image
from tpsm_jax.media.video_reader import FrameSource, open_video
from tpsm_jax.media.video_writer import FrameWriter
from tpsm_jax.runtime.compilation_cache import add_cache_flag, use_compilation_cache
from tpsm_jax.runtime.malloc import keep_freed_memory


def main() -> None:
    """Parses the flags, then streams the clip through."""
    start = time.perf_counter()
    args = parse_arguments()
    use_compilation_cache(args.compilation_cache)
    keep_freed_memory()

    driving = open_video(args.driving, fps=args.fps)
    source = read_image(args.source)
    check_inputs_survive(args.output, args.source, args.driving)
    audio = None if args.no_audio else driving
    with FrameWriter(args.output, fps=driving.fps, audio=audio) as writer:
        animator = Animator(
            load_checkpoint(args.checkpoint, dtype=getattr(jnp, args.dtype), step=args.step),
            source,
            mode=args.mode,
            size=args.size,
            batch_size=args.batch_size,
            keep_programs=True,
        )
        summary = stream(animator, driving, writer, args.find_best_frame, start)
    print(f"wrote {args.output}: {summary}")


def stream(
    animator: Animator,
    driving: FrameSource,
    writer: FrameWriter,
    find_best_frame: bool,
    start: float,
) -> str:
    """Animates every frame; returns how many there were and how long they took, as text."""
    initial = None
    if find_best_frame and animator.mode != "relative":
        print(f"the best frame makes no difference to mode {animator.mode}; not looked for")
    elif find_best_frame:
        best = animator.find_best_frame(
            tqdm(driving, "looking for the best frame", driving.frame_count, unit="frame")
        )
        print(f"best frame: {best.number}")
        initial = best.keypoints
    first, count = start, 0
    frames = animator.animate(driving, kp_driving_initial=initial)
    for count, frame in enumerate(tqdm(frames, "animating", driving.frame_count, unit="frame"), 1):
        if count == 1:
            first = time.perf_counter()
        writer.write(frame)
    if driving.frame_count and count < 0.9 * driving.frame_count:
        print(
            f"warning: {driving.path} announces {driving.frame_count} frames and gave {count}: "
            "is it cut short?",
            file=sys.stderr,
        )
    rest = f", then {(count - 1) / (time.perf_counter() - first):.2f} frames/s" * (count > 1)
    return f"{count} frame{'s' * (count > 1)}, the first after {first - start:.2f} s{rest}"


def check_inputs_survive(output: str, *inputs: str) -> None:
    """Refuses an output whose writing would replace an input."""
    place = Path(output).resolve()
    for path in inputs:
        if place == Path(path).resolve() or (
            output.endswith("/") and place in Path(path).resolve().parents
        ):
            raise InputError(f"writing {output} would replace {path}: name another output")


def parse_arguments() -> argparse.Namespace:
    """The flags; `size` as (height, width) or None."""
    parser = ArgumentParser(__doc__)
    add_checkpoint_flags(parser)
    add = parser.add_argument
    add("--source", required=True, help="the picture to animate")
    add("--driving", required=True, help="video, gif, or folder of frames in the order of names")
    add("--output", required=True, help=".mp4 .mov .mkv .webm .gif, or a folder/ for PNG frames")
    add(
        "--mode",
        choices=("relative", "standard", "avd"),
        default="relative",
        help="motion since the first frame (default), the driving pose as it is, or the driving "
        "pose in the source's shape by avd_network",
    )
    add(
        "--find_best_frame",
        action="store_true",
        help="measure motion from the driving frame most like the source, not from the first",
    )
    add("--size", type=picture_size, help="HEIGHTxWIDTH or one number (default: the checkpoint's)")
    add("--batch_size", type=positive, help="frames computed together (CPU 1, otherwise 16)")
    add("--no_audio", action="store_true", help="leave out the driving clip's sound")
    add("--fps", type=float, help="frame rate of a folder of frames (25)")
    add("--dtype", choices=("float32", "bfloat16"), default="float32", help="of convolutions")
    add_cache_flag(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run_script(main)
