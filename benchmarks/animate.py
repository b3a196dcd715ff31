r"""How long does an animated frame take, the first one too, and how much memory does a clip need?

  python -m benchmarks.animate --checkpoint DIR
  python -m benchmarks.animate --checkpoint DIR --reference CHECKOUT --reference_python PYTHON \
      [--torch_checkpoint x.pth.tar] [--variants eager onnxruntime]

With a checkout of the official PyTorch code, and a Python that has torch, it times that too, in
each way of official/variants.py: in processes of their own, on the same machine, in turns with
the project's. Speed does not depend on what the pictures show, so ours are noise.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import av
import jax.numpy as jnp
import numpy as np

from benchmarks.common.memory import peak_rss_mib
from benchmarks.common.reference import (
    ReferenceProcess,
    absolute,
    add_reference_flags,
    official_config,
    reference_command,
)
from benchmarks.common.results import (
    add_output_flag,
    describe_machine,
    headline,
    spread,
    write_results,
)
from tpsm_jax.animation.animator import Animator
from tpsm_jax.checkpoints.converted import load_checkpoint
from tpsm_jax.cli import ArgumentParser, add_cache_flag, local_path_text, positive, run_script
from tpsm_jax.media.video_reader import open_video
from tpsm_jax.media.video_writer import FrameWriter
from tpsm_jax.runtime.compilation_cache import use_compilation_cache
from tpsm_jax.runtime.malloc import keep_freed_memory

VARIANTS = (
    "eager",
    "compiled",
    "compiled bfloat16",
    "onnxruntime",
    "openvino",
    "openvino bfloat16",
)

# Takes a number of frames, animates as many; returns seconds a frame, and CPU seconds a frame.
Timed = Callable[[int], tuple[float, float]]


def main() -> None:
    """Measures everything asked for, prints it, and writes it as JSON."""
    args = parse_arguments()
    if args.child:
        animate_clip(args)
        return
    use_compilation_cache(args.compilation_cache)
    keep_freed_memory()
    print(f"{describe_machine()}, FFmpeg {av.ffmpeg_version_info}")
    rows = time_frames(args)
    print_speed(rows)
    runs = [] if args.frames_only else measure_processes(args)
    for run in runs:
        print(
            f"{run['name']:28}  {run['frames']:4} frames, the first after "
            f"{run['first_frame']:6.2f} s, peak memory {run['peak_rss_mib']:6.0f} MiB"
        )
    write_results(args.output, headlines(rows) + rows + runs)


def time_frames(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Times each batch size and each variant of the reference in turns; a row for each."""
    with contextlib.ExitStack() as stack:
        timed = {}
        for name, dtype, sizes in (
            ("ours", jnp.float32, args.batch_sizes),
            ("ours, bfloat16", jnp.bfloat16, args.bfloat16_batch_sizes),
        ):
            if sizes:
                checkpoint = load_checkpoint(args.checkpoint, dtype=dtype)
                timed |= {f"{name}, batch {size}": time_ours(checkpoint, size) for size in sizes}
        rows = [{"name": name, "how": "this project"} for name in timed]
        for variant, size in variants(args):
            name = f"reference, {variant}" + f", batch {size}" * (size > 1)
            command = command_of(args, checkpoint.config.image_size, variant, size)
            process = stack.enter_context(ReferenceProcess(command))
            timed[name] = time_reference(process, size)
            rows.append({"name": name, "how": process.name})
            print(f"{name}: {process.name}")
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in timed}
        for _ in range(args.rounds):
            for name, animate in timed.items():
                times[name].append(animate(args.frames))
    for row in rows:
        seconds, of_processors = zip(*times[row["name"]], strict=True)
        row |= spread("seconds_a_frame", seconds) | {"rounds": list(seconds)}
        row["processor_seconds_a_frame"] = statistics.median(of_processors)
    return rows


def time_ours(checkpoint: Any, batch_size: int) -> Timed:
    """The project's animator with its programs compiled."""
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


def time_reference(process: ReferenceProcess, batch_size: int) -> Timed:
    """A variant of the official code, which its process times."""

    def animate(frames: int) -> tuple[float, float]:
        count = -(-frames // batch_size) * batch_size
        seconds, of_processors = process.ask(count)
        return seconds / count, of_processors / count

    return animate


def variants(args: argparse.Namespace) -> Iterator[tuple[str, int]]:
    """The reference's variants and batch sizes: only compiled ones take several frames at once."""
    for variant in args.variants if args.reference else ():
        sizes = args.compiled_batch_sizes if variant.startswith("compiled") else [1]
        yield from ((variant, size) for size in sizes)


def command_of(
    args: argparse.Namespace, image_size: Sequence[int], variant: str, batch_size: int
) -> list[str]:
    """The command that starts a variant of the official code."""
    command = reference_command(args, "animation_worker")
    command += ["--config", official_config(args), "--size", *map(str, image_size)]
    command += ["--variant", variant, "--batch_size", str(batch_size)]
    if args.torch_checkpoint:
        command += ["--torch_checkpoint", absolute(args.torch_checkpoint)]
    return command


def print_speed(rows: list[dict[str, Any]]) -> None:
    """Prints medians, extremes, and how many times as fast as the reference as published."""
    eager = [row for row in rows if row["name"] == "reference, eager"]
    for row in rows:
        line = (
            f"{row['name']:28}  {row['seconds_a_frame']:7.4f} s/frame ({row['low']:.4f} to "
            f"{row['high']:.4f}), of all cores {row['processor_seconds_a_frame']:7.4f} s"
        )
        if eager:
            line += f", {statistics.median(ratios(row, eager[0])):5.2f} times as fast as eager"
        print(line)


def ratios(row: dict[str, Any], reference: dict[str, Any]) -> list[float]:
    """How many times as fast a row is as the reference's, round by round."""
    pairs = zip(reference["rounds"], row["rounds"], strict=True)
    return [theirs / ours for theirs, ours in pairs]


def headlines(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Our fastest batch size compared with each variant; float32 with float32 variants only."""
    shown = []
    for ours, precision in (("ours, batch", ""), ("ours, bfloat16", " in bfloat16")):
        sizes = [row for row in rows if row["name"].startswith(ours)]
        for row in rows:
            variant = row["name"].removeprefix("reference, ")
            if not sizes or variant == row["name"] or ("bfloat16" in variant and not precision):
                continue
            fastest = min(sizes, key=lambda row: row["seconds_a_frame"])
            question = f"an animated frame{precision}"
            if variant != "eager":
                question += f", compared with {variant}"
            seconds = (each["seconds_a_frame"] for each in (fastest, row))
            shown.append(headline(question, "s", *seconds, ratios(fastest, row)))
    return shown


def measure_processes(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Times whole runs in new processes: first without compiled programs, then with them."""
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        plan = {"nothing compiled yet": 2, "compiled before": 2}
        plan |= {f"a clip of {count}": count for count in args.memory_frames}
        for name, count in plan.items():
            clip = Path(folder) / f"{count}.mp4"
            write_clip(clip, count)
            command = [sys.executable, "-m", "benchmarks.animate", "--checkpoint", args.checkpoint]
            command += ["--child", str(clip), repr(time.time()), f"{folder}/cache"]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            runs.append({"name": name, **json.loads(answer)})
    return runs


def write_clip(path: Path, count: int) -> None:
    """Writes a video of 320 x 256 pixels in which colored waves move."""
    y, x = np.mgrid[:256, :320]
    with FrameWriter(path, fps=25) as writer:
        for number in range(count):
            waves = [
                np.sin((x + 3 * number) / 17),
                np.cos((y - 2 * number) / 23),
                np.sin(x * y / 9e3),
            ]
            writer.write(np.stack(waves, axis=-1) / 2 + 0.5)


def animate_clip(args: argparse.Namespace) -> None:
    """Does what animate.py does; prints the time since the process started and peak memory."""
    clip, started, cache = args.child
    use_compilation_cache(cache)
    keep_freed_memory()
    driving = open_video(clip)
    source = next(iter(driving))
    first, count = 0.0, 0
    with FrameWriter(f"{clip}.result.mp4", fps=25) as writer:
        checkpoint = load_checkpoint(args.checkpoint)
        animator = Animator(checkpoint, source, mode="standard", keep_programs=True)
        for count, frame in enumerate(animator.animate(driving), 1):
            if count == 1:
                first = time.time() - float(started)
            writer.write(frame)
    print(json.dumps({"frames": count, "first_frame": first, "peak_rss_mib": peak_rss_mib()}))


def parse_arguments() -> argparse.Namespace:
    """The flags."""
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add(
        "--checkpoint",
        type=local_path_text,
        required=True,
        help="folder that convert_torch_weights.py wrote",
    )
    add("--frames", type=positive, default=4, help="frames a round")
    add("--rounds", type=positive, default=6, help="turns of each code")
    add("--batch_sizes", type=positive, nargs="+", default=[1, 2, 4, 8])
    add("--bfloat16_batch_sizes", type=positive, nargs="*", default=[])
    add("--frames_only", action="store_true", help="time no processes from their start")
    add("--memory_frames", type=positive, nargs="*", default=[50, 500], help="lengths of clips")
    add_reference_flags(parser)
    add(
        "--torch_checkpoint",
        type=local_path_text,
        help="x.pth.tar for the reference; random weights without",
    )
    add(
        "--variants",
        nargs="+",
        choices=VARIANTS,
        default=["eager"],
        metavar="NAME",
        help=", ".join(VARIANTS),
    )
    sizes = {"type": positive, "nargs": "+", "default": [1]}
    add("--compiled_batch_sizes", **sizes, help="for variants that PyTorch compiles")
    add_output_flag(parser)
    add_cache_flag(parser)
    add("--child", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    run_script(main)
