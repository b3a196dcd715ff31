r"""How long an animated frame takes, the first one too, and how much memory a clip needs.

  python benchmarks/animate.py --checkpoint DIR
  python benchmarks/animate.py --checkpoint DIR --reference CHECKOUT --reference_python PYTHON \
      [--torch_checkpoint x.pth.tar]

With a checkout of the official PyTorch code, and a Python that has torch, it times that too: in a
process of its own, on the same machine, in turns with the project's. Speed does not depend on what
the pictures show, so they are noise.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import repeat
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
from measuring import ReferenceProcess, describe_machine, peak_rss_mib

from tpsm_jax.animation import Animator
from tpsm_jax.checkpoints import load_checkpoint
from tpsm_jax.compilation_cache import use_compilation_cache
from tpsm_jax.errors import ArgumentParser, run_script
from tpsm_jax.video import ffmpeg_command, open_video
from tpsm_jax.video_writer import FrameWriter


def main() -> None:
    """Measures everything asked for, prints it, and writes it as JSON."""
    args = parse_arguments()
    if args.child:
        animate_clip(args)
        return
    machine = f"{describe_machine()}, ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}"
    report: dict[str, Any] = {"machine": machine, "frames_a_round": args.frames}
    report |= time_frames(args)
    print_speed(report)
    report |= measure_processes(args)
    for name, run in report["processes"].items():
        print(
            f"{name:28}  {run['frames']:4} frames, the first after {run['first_frame']:6.2f} s, "
            f"peak memory {run['peak_rss_mib']:6.0f} MiB"
        )
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=2) + "\n")


def time_frames(args: argparse.Namespace) -> dict[str, Any]:
    """Seconds a frame by batch size, and the reference's, measured in turns."""
    checkpoint = load_checkpoint(args.checkpoint)
    height, width = checkpoint.config.image_size
    noise = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), np.uint8)
    animators = {
        size: Animator(checkpoint, noise[0], batch_size=size, mode="standard")
        for size in args.batch_sizes
    }
    for size, animator in animators.items():
        list(animator.animate(repeat(noise[1], size)))  # compiles

    ours: dict[int, list[float]] = {size: [] for size in animators}
    theirs: list[float] = []
    report: dict[str, Any] = {"size": [height, width], "seconds_a_frame": ours}
    with contextlib.ExitStack() as stack:
        reference = None
        if args.reference:
            reference = stack.enter_context(
                ReferenceProcess(reference_command(args, height, width))
            )
            report |= {"reference": reference.name, "reference_seconds_a_frame": theirs}
        for _ in range(args.rounds):
            for size, animator in animators.items():
                count = -(-args.frames // size) * size
                start = time.perf_counter()
                for _frame in animator.animate(repeat(noise[1], count)):
                    pass
                ours[size].append((time.perf_counter() - start) / count)
                if reference is not None:
                    theirs.append(reference.ask(args.frames)[0] / args.frames)
    return report


def reference_command(args: argparse.Namespace, height: int, width: int) -> list[str]:
    """How to start the official code."""
    worker = Path(__file__).with_name("reference_worker.py")
    config = args.reference_config or f"{args.reference}/config/vox-256.yaml"
    command = [args.reference_python, "-W", "ignore", str(worker), "--reference", args.reference]
    command += ["--config", config, "--size", str(height), str(width)]
    if args.torch_checkpoint:
        command += ["--torch_checkpoint", args.torch_checkpoint]
    return command


def print_speed(report: dict[str, Any]) -> None:
    """A table of medians."""
    print(f"{report['machine']}\n{report['size'][0]} x {report['size'][1]}, float32")
    times = report.get("reference_seconds_a_frame")
    base = statistics.median(times) if times else None
    if base:
        print(f"{'reference, batch 1':20}  {base:8.4f} s/frame  ({report['reference']})")
    for size, seconds in report["seconds_a_frame"].items():
        median = statistics.median(seconds)
        ratio = f"  {base / median:5.2f} times as fast" if base else ""
        print(f"{'ours, batch ' + str(size):20}  {median:8.4f} s/frame{ratio}")


def measure_processes(args: argparse.Namespace) -> dict[str, Any]:
    """Whole runs in processes of their own: first without compiled programs, then with."""
    runs = {}
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
            runs[name] = json.loads(answer)
    return {"processes": runs}


def animate_clip(args: argparse.Namespace) -> None:
    """What animate.py does, with the time since the process was started and the peak memory."""
    clip, started, cache = args.child
    use_compilation_cache(cache)
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
    add("--frames", type=int, default=8, help="frames a round")
    add("--rounds", type=int, default=3)
    add("--batch_sizes", type=int, nargs="+", default=[1, 2, 4, 8])
    add("--memory_frames", type=int, nargs="*", default=[50, 500], help="lengths of clips")
    add("--reference", help="checkout of the official PyTorch code")
    add("--reference_python", default=sys.executable, help="a Python that has torch")
    add("--reference_config", help="YAML file; CHECKOUT/config/vox-256.yaml by default")
    add("--torch_checkpoint", help="x.pth.tar for the reference; random weights without")
    add("--json", help="file to write everything measured to")
    add("--child", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    run_script(main)
