r"""How long an animated frame takes, the first one too, and how much memory a clip needs.

  python benchmarks/animate.py --checkpoint DIR
  python benchmarks/animate.py --checkpoint DIR --reference CHECKOUT --reference_python PYTHON \
      [--torch_checkpoint x.pth.tar] [--variants eager onnxruntime]

With a checkout of the official PyTorch code, and a Python that has torch, it times that too, in
each way of reference_variants.py: in processes of their own, on the same machine, in turns with
the project's. Speed does not depend on what the pictures show, so ours are noise.
"""

import argparse
import contextlib
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import jax.numpy as jnp
import numpy as np
from measuring import ReferenceProcess, describe_machine, peak_rss_mib, write_results

from tpsm_jax.animation import Animator
from tpsm_jax.checkpoints import load_checkpoint
from tpsm_jax.compilation_cache import add_cache_flag, use_compilation_cache
from tpsm_jax.cpu_memory import keep_freed_memory
from tpsm_jax.errors import ArgumentParser, InputError, positive, run_script
from tpsm_jax.video import ffmpeg_command, open_video
from tpsm_jax.video_writer import FrameWriter

VARIANTS = (
    "eager",
    "compiled",
    "compiled bfloat16",
    "onnxruntime",
    "openvino",
    "openvino bfloat16",
)

# Animates so many frames; gives seconds, and those of all cores together, of each.
Timed = Callable[[int], tuple[float, float]]


def main() -> None:
    """Measures everything asked for, prints it, and writes it as JSON."""
    args = parse_arguments()
    if args.child:
        animate_clip(args)
        return
    use_compilation_cache(args.compilation_cache)
    keep_freed_memory()
    print(f"{describe_machine()}, ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}")
    rows = time_frames(args)
    print_speed(rows)
    runs = measure_processes(args)
    for run in runs:
        print(
            f"{run['name']:28}  {run['frames']:4} frames, the first after "
            f"{run['first_frame']:6.2f} s, peak memory {run['peak_rss_mib']:6.0f} MiB"
        )
    command = f"python {shlex.join(sys.argv)}"
    write_results(args.output, command=command, rows=headline(rows) + rows + runs)


def time_frames(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row of the table for each batch size, and each variant of the reference, in turns."""
    timed = {f"ours, batch {size}": time_ours(args, size, "float32") for size in args.batch_sizes}
    for size in args.bfloat16_batch_sizes:
        timed[f"ours, bfloat16, batch {size}"] = time_ours(args, size, "bfloat16")
    rows = [{"name": name, "how": "this project"} for name in timed]
    with contextlib.ExitStack() as stack:
        for variant in args.variants if args.reference else ():
            process = stack.enter_context(ReferenceProcess(reference_command(args, variant)))
            timed[f"reference, {variant}"] = time_reference(process)
            rows.append({"name": f"reference, {variant}", "how": process.name})
            print(f"{rows[-1]['name']}: {process.name}")
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in timed}
        for _ in range(args.rounds):
            for name, animate in timed.items():
                times[name].append(animate(args.frames))
    for row in rows:
        seconds, of_processors = zip(*times[row["name"]], strict=True)
        row |= {"seconds_a_frame": statistics.median(seconds), "rounds": list(seconds)}
        row |= {"low": min(seconds), "high": max(seconds)}
        row["processor_seconds_a_frame"] = statistics.median(of_processors)
    return rows


def time_ours(args: argparse.Namespace, batch_size: int, dtype: str) -> Timed:
    """The project, compiled already."""
    checkpoint = load_checkpoint(args.checkpoint, dtype=getattr(jnp, dtype))
    height, width = checkpoint.config.image_size
    source, driving = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), np.uint8)
    animator = Animator(checkpoint, source, batch_size=batch_size, mode="standard")

    def animate(frames: int) -> tuple[float, float]:
        count = -(-frames // batch_size) * batch_size
        start, of_processors = time.perf_counter(), time.process_time()
        for _ in animator.animate(repeat(driving, count)):
            pass
        seconds = time.perf_counter() - start, time.process_time() - of_processors
        return seconds[0] / count, seconds[1] / count

    animate(1)
    return animate


def time_reference(process: ReferenceProcess) -> Timed:
    """A variant of the official code."""

    def animate(frames: int) -> tuple[float, float]:
        seconds, of_processors = process.ask(frames)
        return seconds / frames, of_processors / frames

    return animate


def reference_command(args: argparse.Namespace, variant: str) -> list[str]:
    """How to start the official code."""
    worker = Path(__file__).with_name("reference_worker.py")
    config = args.reference_config or f"{args.reference}/config/vox-256.yaml"
    if not Path(config).is_file():
        raise InputError(f"there is no {config}: give --reference_config")
    size = load_checkpoint(args.checkpoint).config.image_size
    command = [args.reference_python, "-W", "ignore", str(worker), "--reference", args.reference]
    command += ["--config", config, "--size", *map(str, size), "--variant", variant]
    if args.torch_checkpoint:
        command += ["--torch_checkpoint", args.torch_checkpoint]
    return command


def print_speed(rows: list[dict[str, Any]]) -> None:
    """Medians, extremes, and how much faster than the reference as published."""
    eager = [row for row in rows if row["name"] == "reference, eager"]
    for row in rows:
        line = (
            f"{row['name']:28}  {row['seconds_a_frame']:7.4f} s/frame ({row['low']:.4f} to "
            f"{row['high']:.4f}), of all cores {row['processor_seconds_a_frame']:7.4f} s"
        )
        if eager:
            line += f", {ratios(row, eager[0])[0]:5.2f} times as fast as eager"
        print(line)


def ratios(row: dict[str, Any], reference: dict[str, Any]) -> tuple[float, float, float]:
    """How many times as fast, round by round: the median and the extremes."""
    pairs = zip(reference["rounds"], row["rounds"], strict=True)
    found = [theirs / ours for theirs, ours in pairs]
    return statistics.median(found), min(found), max(found)


def headline(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows for the picture of all benchmarks: our fastest size beside each float32 variant."""
    ours = [row for row in rows if row["name"].startswith("ours, batch")]
    fastest = min(ours, key=lambda row: row["seconds_a_frame"])
    shown = []
    for row in rows:
        if row["name"].startswith("reference") and "bfloat16" not in row["name"]:
            variant = row["name"].removeprefix("reference, ")
            median, low, high = ratios(fastest, row)
            shown.append(
                {
                    "headline": True,
                    "question": "an animated frame" + f", beside {variant}" * (variant != "eager"),
                    "ours": fastest["seconds_a_frame"],
                    "reference": row["seconds_a_frame"],
                    "unit": "s",
                    "ratio": median,
                    "ratio_low": low,
                    "ratio_high": high,
                }
            )
    return shown


def measure_processes(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Whole runs in processes of their own: first without compiled programs, then with."""
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        plan = {"nothing compiled yet": 2, "compiled before": 2}
        plan |= {f"a clip of {count}": count for count in args.memory_frames}
        for name, count in plan.items():
            clip = Path(folder) / f"{count}.mp4"
            source = f"testsrc=size=320x256:rate=25:duration={count / 25}"
            command = [*ffmpeg_command(), "-loglevel", "error", "-f", "lavfi", "-i", source]
            subprocess.run([*command, str(clip)], check=True)
            command = [sys.executable, __file__, "--checkpoint", args.checkpoint]
            command += ["--child", str(clip), repr(time.time()), f"{folder}/cache"]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            runs.append({"name": name, **json.loads(answer)})
    return runs


def animate_clip(args: argparse.Namespace) -> None:
    """What animate.py does, with the time since the process was started and the peak memory."""
    clip, started, cache = args.child
    use_compilation_cache(cache)
    keep_freed_memory()
    driving = open_video(clip)
    source = next(iter(driving))
    first, count = 0.0, 0
    with FrameWriter(f"{clip}.result.mp4", fps=25) as writer:
        animator = Animator(load_checkpoint(args.checkpoint), source, mode="standard")
        for count, frame in enumerate(animator.animate(driving), 1):
            if count == 1:
                first = time.time() - float(started)
            writer.write(frame)
    print(json.dumps({"frames": count, "first_frame": first, "peak_rss_mib": peak_rss_mib()}))


def parse_arguments() -> argparse.Namespace:
    """The flags."""
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add("--checkpoint", required=True, help="folder that convert_torch_weights.py wrote")
    add("--frames", type=positive, default=4, help="frames a round")
    add("--rounds", type=positive, default=6)
    add("--batch_sizes", type=positive, nargs="+", default=[1, 2, 4, 8])
    add("--bfloat16_batch_sizes", type=positive, nargs="*", default=[])
    add("--memory_frames", type=positive, nargs="*", default=[50, 500], help="lengths of clips")
    add("--reference", help="checkout of the official PyTorch code")
    add("--reference_python", default=sys.executable, help="a Python that has torch")
    add("--reference_config", help="YAML file; CHECKOUT/config/vox-256.yaml by default")
    add("--torch_checkpoint", help="x.pth.tar for the reference; random weights without")
    add(
        "--variants",
        nargs="+",
        choices=VARIANTS,
        default=["eager"],
        metavar="NAME",
        help=", ".join(VARIANTS),
    )
    add("--output", help="JSON file to write everything measured to")
    add_cache_flag(parser)
    add("--child", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    run_script(main)
