"""Animates a drawn figure with the shipped model, without a download: `make demo` runs this.

Takes the model that comes with the package, moves a cartoon figure that it has never seen the way
another such figure moves, and measures how well it does on more of them. Into runs/demo/:

    side_by_side.mp4    the figure of source.png, driving.mp4, and the result
    animation.mp4       the result alone
    strip.png           driving above result, over time
    sheet.png           every step of the model for a few frames
    report.html         numbers and videos of held-out figures, each moved by itself
    metrics.json        l1 of those, and l1_static of repeating their first frame

With --train (`make demo-train`) a small model is trained from scratch first, in a quarter of an
hour, and all goes into runs/demo_train/. A training that was interrupted is resumed.
"""

if __name__ == "__main__":  # before what takes long to import
    from tpsm_jax.runtime import ctrl_c

    ctrl_c.end_quietly()

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from data.puppets import FRAMES_PER_SECOND, draw_clip, split_identities
from tpsm_jax.checkpoints.converted import Checkpoint, load_checkpoint
from tpsm_jax.cli import ArgumentParser, run_script
from tpsm_jax.errors import InputError
from tpsm_jax.media.images import to_float
from tpsm_jax.media.video_reader import open_video
from tpsm_jax.media.video_writer import FrameWriter
from tpsm_jax.media.visualize import animation_sheet
from tpsm_jax.runtime.compilation_cache import use_compilation_cache

ROOT = Path(__file__).resolve().parent
SHIPPED, OUTPUT = "puppets", Path("runs/demo")
CONFIG, TRAINED_OUTPUT = "configs/puppets64.py", Path("runs/demo_train")
FRAMES = 75
SHEET_FRAMES = (0, 24, 48)
STRIP_FRAMES = 10
CLIPS = 4  # that are measured
# Identities that training never sees: one gives the looks, the other the movement.
SOURCE_IDENTITY, DRIVING_IDENTITY, DRIVING_MOTION = 1, 4, 9


def main() -> None:
    """Trains if asked to, animates, measures, and draws the pictures."""
    parser = ArgumentParser(__doc__)
    parser.add_argument("--train", action="store_true", help="train a small model from scratch")
    args = parser.parse_args()
    os.chdir(ROOT)  # the config's clips are relative to it
    use_compilation_cache()
    output = TRAINED_OUTPUT if args.train else OUTPUT
    output.mkdir(parents=True, exist_ok=True)
    name = str(output / "training") if args.train else SHIPPED
    if args.train:
        run("train.py", "--config", CONFIG, "--workdir", name)
    checkpoint = load_checkpoint(name)

    source, driving = draw_pictures(output, checkpoint.config.image_size[0])
    run("animate.py", "--checkpoint", name, "--source", output / "source.png", "--driving",
        output / "driving.mp4", "--output", output / "animation.mp4")  # fmt: skip
    result = np.stack(list(open_video(output / "animation.mp4")))
    write_side_by_side(source, driving, result, output / "side_by_side.mp4")
    draw_strip(driving, result, output / "strip.png")
    draw_sheet(checkpoint, source, driving, output / "sheet.png")

    place = output / "evaluation"
    shutil.rmtree(place, ignore_errors=True)  # it may be of another version
    run("eval.py", "--checkpoint", name, "--data", "puppets", "--clips", str(CLIPS), "--output",
        place)  # fmt: skip
    shutil.copy(place / "report.html", output)
    metrics = read_numbers(place / "metrics.json")
    (output / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    print(
        f"\nlook at   {output}/side_by_side.mp4: a figure, the clip that moves it, and the result\n"
        f"look at   {output}/strip.png, sheet.png (each step of the model), report.html\n"
        f"numbers   {metrics['clips']} held-out figures: error {metrics['l1']:.4f}, "
        f"{metrics['l1'] / metrics['l1_static']:.2f} of what repeating the first frame has\n"
        f"try next  .venv/bin/python animate.py --checkpoint {name} --driving "
        f"{output}/driving.mp4 --source YOUR_DRAWING.png --output yours.mp4"
    )


def read_numbers(path: Path) -> dict[str, Any]:
    """The numbers of an evaluation of one model.

    Args:
      path: the metrics.json that eval.py wrote.

    Returns:
      l1 and l1_static, the mean absolute differences in [0, 1] of the reconstruction and of the
      first frame from the true frames, over all frames; and the numbers of clips and frames.
    """
    (model,) = json.loads(path.read_text())["models"]
    return {
        "l1": model["totals"]["l1"],
        "l1_static": model["static"]["l1"],
        "clips": len(model["clips"]),
        "frames": model["frames"],
    }


def draw_pictures(output: Path, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Writes source.png and driving.mp4: two puppets that training never sees.

    Args:
      output: folder to write them to.
      size: side in pixels.

    Returns:
      The source [H, W, 3] and the driving clip [T, H, W, 3], uint8.
    """
    first = split_identities("test").start
    motion = first + DRIVING_MOTION
    source = draw_clip(first + SOURCE_IDENTITY, motion, num_frames=1, size=size)[0]
    driving = draw_clip(first + DRIVING_IDENTITY, motion, num_frames=FRAMES, size=size)
    Image.fromarray(source).save(output / "source.png")
    write_video(list(driving), output / "driving.mp4")
    return source, driving


def write_side_by_side(
    source: np.ndarray, driving: np.ndarray, result: np.ndarray, path: Path
) -> None:
    """Writes a video of source | driving | result, twice as large as these."""
    rows = [np.hstack([source, *pair]) for pair in zip(driving, result, strict=True)]
    write_video([row.repeat(2, axis=0).repeat(2, axis=1) for row in rows], path)


def write_video(frames: list[np.ndarray], path: Path) -> None:
    """Writes [H, W, 3] uint8 frames."""
    with FrameWriter(path, fps=FRAMES_PER_SECOND) as writer:
        for frame in frames:
            writer.write(frame)


def draw_strip(driving: np.ndarray, result: np.ndarray, path: Path) -> None:
    """Writes frames of the driving clip, and below each the animation's."""
    chosen = np.linspace(0, len(driving) - 1, STRIP_FRAMES).round().astype(int)
    strip = np.concatenate([np.hstack(list(clip[chosen])) for clip in (driving, result)])
    Image.fromarray(strip).save(path)


def draw_sheet(checkpoint: Checkpoint, source: np.ndarray, driving: np.ndarray, path: Path) -> None:
    """Writes every step of the model for a few frames of the clip as one picture."""
    frames = to_float(driving[list(SHEET_FRAMES)])
    sources = np.broadcast_to(to_float(source), frames.shape)
    outputs = jax.jit(checkpoint.model.apply)(checkpoint.variables, sources, frames)
    sheet = animation_sheet(jax.device_get(outputs), sources, frames, size=96, wrap=12)
    Image.fromarray(sheet).save(path)


def run(*arguments: str | Path) -> None:
    """Prints and runs one of the project's commands: a script and its arguments."""
    print("$ python", *arguments, flush=True)
    done = subprocess.run([sys.executable, *map(str, arguments)], check=False)
    if done.returncode:
        raise InputError(f"the command above failed with exit code {done.returncode}")


if __name__ == "__main__":
    run_script(main)
