"""Makes the pictures of the model that comes with the package, for its card and the README.

  python docs/make_model_pictures.py

Writes images/model.png: a row for each movement, of figures that training has never seen: source,
driving frame, result, and the truth, which is the source's figure drawn in the driving pose. And
images/demo.webp, from what `make demo` wrote.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import tpsm_jax
from data.puppets import FRAMES_PER_SECOND, draw_poses, split_identities
from data.puppets.motion import Pose
from tpsm_jax.evaluation.reconstruction import Reconstructor
from tpsm_jax.media.images import resize, to_uint8
from tpsm_jax.media.video_reader import open_video

IMAGES = Path(__file__).parent / "images"
DEMO = Path("runs/demo/side_by_side.mp4")
TITLES = ("source", "driving", "result", "truth")
CELL = 160
REST = Pose(
    place=0.0, sway=0.0, dip=0.012, jump=0.0, lean=0.0, tilt=0.0, turn=0.0, arms=(0.3, 0.3),
    elbows=(-0.15, -0.15), step_out=(0.035, 0.035), step_up=(0.0, 0.0), trail=0.0, mouth=0.25,
    blink=False, camera=(0.0, 0.0, 0.0, 0.0),
)  # fmt: skip
MOVEMENTS: dict[str, dict[str, Any]] = {
    "an arm raised": {"arms": (2.3, 0.3), "elbows": (0.5, -0.15)},
    "both arms crossing": {"arms": (0.5, 0.5), "elbows": (-1.9, -1.9)},
    "a turn of the head": {"turn": 0.9, "tilt": 0.14},
    "a step to the side": {"place": 0.11, "sway": 0.02, "lean": 0.05, "step_out": (0.02, 0.07)},
    # Animation leaves the background where it is; reconstruction moves it, too.
    "a moving background": {"camera": (0.07, 0.02, 0.04, 0.035), "arms": (0.9, 0.3)},
}


def main() -> None:
    """Draws both pictures."""
    checkpoint = tpsm_jax.load("puppets")
    size = checkpoint.config.image_size[0]
    rows = []
    for number, (title, change) in enumerate(MOVEMENTS.items()):
        first = split_identities("test").start + 10 * number + 500
        poses = [REST, dataclasses.replace(REST, **change)]
        true, driving = ([x for x, _ in draw_poses(first + i, poses, size, size)] for i in (0, 1))
        if "camera" in change:
            reconstructor, driving = Reconstructor(checkpoint, batch_size=1), true
        else:
            reconstructor = Reconstructor(checkpoint, mode="relative", batch_size=1)
        results = run(reconstructor, driving, true[0])
        rows.append((title, [true[0], driving[1], results[1], true[1]]))
    picture = lay_out(rows)
    picture.quantize(256, dither=Image.Dither.NONE).save(IMAGES / "model.png", optimize=True)
    if DEMO.is_file():
        write_webp(DEMO, IMAGES / "demo.webp")


def run(
    reconstructor: Reconstructor, driving: list[np.ndarray], source: np.ndarray
) -> list[np.ndarray]:
    """The results for a clip, [H, W, 3] uint8 each."""
    results: list[np.ndarray] = []

    def keep(driving: np.ndarray, batch: np.ndarray, truth: np.ndarray) -> None:
        results.extend(batch)

    reconstructor.run(driving, source=source, sink=keep)
    return results


def lay_out(rows: list[tuple[str, list[np.ndarray]]]) -> Image.Image:
    """A titled grid of pictures, a named row below the other."""
    margin, head, side = 6, 20, 150
    width = side + len(TITLES) * (CELL + margin)
    sheet = Image.new("RGB", (width, head + len(rows) * (CELL + margin)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    for column, title in enumerate(TITLES):
        draw.text((side + column * (CELL + margin), 2), title, "black", font)
    for row, (title, pictures) in enumerate(rows):
        top = head + row * (CELL + margin)
        draw.text((4, top + CELL // 2 - 8), title, "black", font)
        for column, picture in enumerate(pictures):
            cell = Image.fromarray(to_uint8(resize(picture, CELL, CELL)))
            sheet.paste(cell, (side + column * (CELL + margin), top))
    return sheet


def write_webp(video: Path, path: Path) -> None:
    """Writes a video as an animated picture that repeats, every other frame of it."""
    frames = [Image.fromarray(frame) for frame in list(open_video(video))[::2]]
    pause = round(2000 / FRAMES_PER_SECOND)
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=pause, loop=0, quality=70, method=6
    )
    print(f"wrote {path.name}: {path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
