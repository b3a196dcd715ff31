"""The whole way once, without a download: `make demo` runs this.

Draws a puppet and another one's movement, makes a checkpoint in the official layout, converts it,
animates the one with the other, and puts every step of the model on one sheet. The weights are
procedural (made from a formula, never trained): the pictures show that the machinery runs, not
what a trained model paints.
"""

import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from data.puppets import FRAMES_PER_SECOND, draw_clip, split_identities
from tpsm_jax.checkpoints import load_checkpoint
from tpsm_jax.errors import InputError, run_script
from tpsm_jax.video_writer import FrameWriter
from tpsm_jax.visualize import animation_sheet

ROOT = Path(__file__).resolve().parent
OUTPUT = Path("runs/demo")
SIZE = 256
FRAMES = 25
SHEET_FRAMES = (0, 8, 16)
SOURCE_MOTION, DRIVING_MOTION = 5, 0


def main() -> None:
    """Draws, converts, animates, explains."""
    output = ROOT / OUTPUT
    output.mkdir(parents=True, exist_ok=True)
    source, driving = draw_pictures(output)
    checkpoint, converted = OUTPUT / "procedural.pth.tar", OUTPUT / "checkpoint"
    run("-m", "tests.procedural", "--config", "configs/vox256.py", "--output", checkpoint)
    run("convert_torch_weights.py", "--checkpoint", checkpoint, "--config", "configs/vox256.py",
        "--output", converted)  # fmt: skip
    run("animate.py", "--checkpoint", converted, "--source", OUTPUT / "source.png", "--driving",
        OUTPUT / "driving.mp4", "--output", OUTPUT / "animation.mp4")  # fmt: skip
    draw_sheet(ROOT / converted, source, driving, output / "sheet.png")
    print(
        f"\nwrote {OUTPUT}/animation.mp4 and {OUTPUT}/sheet.png\n"
        "The weights are procedural, not trained: the pictures show the machinery (keypoints, "
        "warps,\ncontribution maps, flow, masks), not a result. With official weights: README.md."
    )


def draw_pictures(output: Path) -> tuple[np.ndarray, np.ndarray]:
    """Writes source.png and driving.mp4: two puppets that no training has seen.

    Args:
      output: folder to write them to.

    Returns:
      The source [H, W, 3] and the driving clip [T, H, W, 3], uint8.
    """
    first = split_identities("test").start
    source = draw_clip(first, SOURCE_MOTION, num_frames=1, size=SIZE)[0]
    driving = draw_clip(first + 1, DRIVING_MOTION, num_frames=FRAMES, size=SIZE)
    Image.fromarray(source).save(output / "source.png")
    with FrameWriter(output / "driving.mp4", fps=FRAMES_PER_SECOND) as writer:
        for frame in driving:
            writer.write(frame)
    return source, driving


def draw_sheet(checkpoint: Path, source: np.ndarray, driving: np.ndarray, path: Path) -> None:
    """Writes every step of the model for a few frames of the clip as one picture."""
    loaded = load_checkpoint(checkpoint)
    frames = driving[list(SHEET_FRAMES)].astype(np.float32) / 255
    sources = np.broadcast_to(source.astype(np.float32) / 255, frames.shape)
    outputs = jax.jit(loaded.model.apply)(loaded.variables, sources, frames)
    sheet = animation_sheet(jax.device_get(outputs), sources, frames)
    Image.fromarray(sheet).save(path)


def run(*arguments: str | Path) -> None:
    """Runs one of the project's commands as a person would, showing it."""
    print("$ python", *arguments, flush=True)
    done = subprocess.run([sys.executable, *map(str, arguments)], cwd=ROOT, check=False)
    if done.returncode:
        raise InputError(f"the command above failed with exit code {done.returncode}")


if __name__ == "__main__":
    run_script(main)
