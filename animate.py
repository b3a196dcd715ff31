r"""Animates a picture with the motion of a clip.

  python animate.py --checkpoint checkpoints/vox --source source.png --driving driving.mp4 \
      --output result.mp4
"""

if __name__ == "__main__":  # before what takes long to import
    from tpsm_jax.runtime import ctrl_c

    ctrl_c.end_quietly()

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from PIL import ImageColor

from tpsm_jax.animation.animator import Animator
from tpsm_jax.animation.framing import composition, framed_clip, framed_source
from tpsm_jax.animation.programs import MODES
from tpsm_jax.animation.stream import animate_clip
from tpsm_jax.checkpoints.converted import load_checkpoint
from tpsm_jax.cli import (
    ArgumentParser,
    add_batch_size_flag,
    add_cache_flag,
    add_checkpoint_flags,
    add_dtype_flag,
    add_size_flag,
    local_path_text,
    run_script,
)
from tpsm_jax.framing.flags import add_framing_flags, driving_crop, source_crop
from tpsm_jax.media.images import read_alpha, read_image
from tpsm_jax.media.picture_folder import passed_over
from tpsm_jax.media.rgb import Color
from tpsm_jax.media.video_reader import open_video
from tpsm_jax.media.video_writer import FrameWriter, check_inputs_survive
from tpsm_jax.parallel.devices import print_devices
from tpsm_jax.runtime.compilation_cache import use_compilation_cache
from tpsm_jax.runtime.malloc import keep_freed_memory
from tpsm_jax.runtime.run_lock import only_writer


def main() -> None:
    """Parses the flags, then streams the clip through."""
    start = time.perf_counter()
    args = parse_arguments()
    crops = source_crop(args), driving_crop(args)
    use_compilation_cache(args.compilation_cache)
    keep_freed_memory()

    driving = open_video(args.driving, fps=args.fps, alpha_background=args.alpha_background)
    source = read_image(args.source, alpha_background=args.alpha_background)
    check_inputs_survive(args.output, args.source, args.driving)
    if Path(args.driving).is_dir() and (note := passed_over(Path(args.driving))):
        print(f"warning: {note}", file=sys.stderr)
    audio = None if args.no_audio else driving
    with (
        only_writer(args.output),
        FrameWriter(args.output, fps=driving.fps, audio=audio) as writer,
    ):
        animator = Animator(
            load_checkpoint(args.checkpoint, dtype=getattr(jnp, args.dtype), step=args.step),
            source,
            mode=args.mode,
            size=args.size,
            batch_size=args.batch_size,
            keep_programs=True,
        )
        print_devices(jax.local_devices()[:1])
        animator, box = framed_source(animator, source, crops[0], alpha=read_alpha(args.source))
        driving = framed_clip(animator, driving, crops[1])
        summary = animate_clip(
            animator,
            driving,
            writer,
            find_best_frame=args.find_best_frame,
            source_shape=source.shape if box is None else (box.height, box.width),
            compose=composition(source, box, paste_back=args.paste_back, panels=args.side_by_side),
            start=start,
        )
    print(f"wrote {args.output}: {summary}")


def parse_arguments() -> argparse.Namespace:
    """Parses the flags; `size` as (height, width) or None, the background as RGB or None."""
    parser = ArgumentParser(__doc__)
    add_checkpoint_flags(parser)
    add = parser.add_argument
    paths: dict[str, Any] = {"required": True, "type": local_path_text}
    add("--source", **paths, help="the picture to animate")
    add("--driving", **paths, help="video, gif, picture, or folder of frames, 9.png before 10.png")
    add(
        "--output",
        **paths,
        help=".mp4 .mov .mkv .webm .gif, a folder/ for PNG frames, or .png .jpg for one frame",
    )
    add(
        "--mode",
        choices=MODES,
        default="relative",
        help="motion since the first frame (default), the driving pose as it is, or the driving "
        "pose in the source's shape by avd_network",
    )
    add(
        "--find_best_frame",
        action="store_true",
        help="measure motion from the driving frame most like the source, not from the first",
    )
    add_framing_flags(parser)
    add_size_flag(parser)
    add_batch_size_flag(parser)
    add("--no_audio", action="store_true", help="leave out the driving clip's sound")
    add("--fps", type=float, help="frame rate of a folder of frames (25)")
    add(
        "--alpha_background",
        type=color,
        default=(255, 255, 255),
        metavar="COLOR",
        help="what shows through transparent pictures: a name or '#rrggbb' (white), or 'none' for "
        "whatever is stored there, as in the official demo",
    )
    add_dtype_flag(parser)
    add_cache_flag(parser)
    return parser.parse_args()


def color(text: str) -> Color | None:
    """Parses a color as CSS spells it, to (red, green, blue); 'none' to None."""
    if text == "none":
        return None
    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no color, as white or '#00b140'") from None
    return red, green, blue


if __name__ == "__main__":
    run_script(main)
