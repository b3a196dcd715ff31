"""The whole path once, without a download: `make demo` runs this.

Draws clips of cartoon figures, trains a small model on them, measures how well it reconstructs
figures that it has never seen, and moves one of those the way another moves. Into runs/demo/:

    training/       what train.py writes: checkpoints, metrics.jsonl, pictures
    metrics.json    l1 of the reconstruction of held-out clips, and l1_static of a still baseline
    animation.mp4   the held-out figure of source.png, moved by driving.mp4
    strip.png       driving above result, over time
    sheet.png       every step of the model for a few frames

Existing files are not made again: the training resumes, or is done.
"""

if __name__ == "__main__":  # before what takes long to import
    from tpsm_jax.runtime import ctrl_c

    ctrl_c.end_quietly()

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from data.evaluation_set import clips_for_test
from data.puppets import FRAMES_PER_SECOND, draw_clip, split_identities
from tpsm_jax.checkpoints.converted import Checkpoint, load_checkpoint
from tpsm_jax.cli import ArgumentParser, run_script
from tpsm_jax.errors import InputError
from tpsm_jax.evaluation.measures import mean_over_frames
from tpsm_jax.evaluation.reconstruction import Reconstructor
from tpsm_jax.media.images import to_float
from tpsm_jax.media.video_reader import open_video
from tpsm_jax.media.video_writer import FrameWriter
from tpsm_jax.media.visualize import animation_sheet
from tpsm_jax.runtime.compilation_cache import use_compilation_cache

ROOT = Path(__file__).resolve().parent
OUTPUT = Path("runs/demo")
CONFIG = "configs/puppets64.py"
FRAMES = 50
SHEET_FRAMES = (0, 16, 32)
STRIP_FRAMES = 10
BATCH = 16  # frames on a device
# Identities that training never sees: one gives the looks, the other the movement.
SOURCE_IDENTITY, DRIVING_IDENTITY, DRIVING_MOTION = 1, 4, 9


def main() -> None:
    """Trains, measures, animates, and draws the pictures."""
    ArgumentParser(__doc__).parse_args()
    os.chdir(ROOT)  # the config's clips are relative to it
    use_compilation_cache()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    workdir = OUTPUT / "training"
    run("train.py", "--config", CONFIG, "--workdir", workdir)
    checkpoint = load_checkpoint(workdir)
    metrics = measure(checkpoint)
    (OUTPUT / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")

    source, driving = draw_pictures(OUTPUT, checkpoint.config.image_size[0])
    run("animate.py", "--checkpoint", workdir, "--source", OUTPUT / "source.png", "--driving",
        OUTPUT / "driving.mp4", "--output", OUTPUT / "animation.mp4")  # fmt: skip
    draw_strip(driving, OUTPUT)
    draw_sheet(checkpoint, source, driving, OUTPUT / "sheet.png")
    print(
        f"\nwrote {OUTPUT}/: animation.mp4, strip.png, sheet.png, metrics.json\n"
        f"held-out clips, mean absolute error: {metrics['l1']:.4f} reconstructed, "
        f"{metrics['l1_static']:.4f} by repeating the first frame "
        f"({metrics['l1'] / metrics['l1_static']:.2f} of it)"
    )


def measure(checkpoint: Checkpoint) -> dict[str, Any]:
    """Reconstructs every test clip from its first frame, as the paper's evaluation does.

    Args:
      checkpoint: the trained model.

    Returns:
      l1 and l1_static, the mean absolute differences in [0, 1] of the reconstruction and of the
      first frame from the true frames, over all frames; and the numbers of clips and frames.
    """
    batch_size = BATCH * len(jax.local_devices())
    reconstructor = Reconstructor(checkpoint, batch_size=batch_size, l1_only=True)
    clips = clips_for_test(checkpoint.config, resize=True)
    records = [reconstructor.run(clip.frames())._asdict() for clip in clips]
    return {
        "l1": mean_over_frames(records, "metrics")["l1"],
        "l1_static": mean_over_frames(records, "static")["l1"],
        "clips": len(records),
        "frames": sum(record["frames"] for record in records),
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
    with FrameWriter(output / "driving.mp4", fps=FRAMES_PER_SECOND) as writer:
        for frame in driving:
            writer.write(frame)
    return source, driving


def draw_strip(driving: np.ndarray, output: Path) -> None:
    """Writes strip.png: frames of the driving clip, and below each the animation's."""
    result = np.stack(list(open_video(output / "animation.mp4")))
    chosen = np.linspace(0, min(len(driving), len(result)) - 1, STRIP_FRAMES).round().astype(int)
    strip = np.concatenate([np.hstack(list(clip[chosen])) for clip in (driving, result)])
    picture = Image.fromarray(strip)
    picture = picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.NEAREST)
    picture.save(output / "strip.png")


def draw_sheet(checkpoint: Checkpoint, source: np.ndarray, driving: np.ndarray, path: Path) -> None:
    """Writes every step of the model for a few frames of the clip as one picture."""
    frames = to_float(driving[list(SHEET_FRAMES)])
    sources = np.broadcast_to(to_float(source), frames.shape)
    outputs = jax.jit(checkpoint.model.apply)(checkpoint.variables, sources, frames)
    sheet = animation_sheet(jax.device_get(outputs), sources, frames, size=96, wrap=12)
    Image.fromarray(sheet).save(path)


def run(*arguments: str | Path) -> None:
    """Prints and runs one of the project's commands."""
    print("$ python", *arguments, flush=True)
    done = subprocess.run([sys.executable, *map(str, arguments)], check=False)
    if done.returncode:
        raise InputError(f"the command above failed with exit code {done.returncode}")


if __name__ == "__main__":
    run_script(main)
