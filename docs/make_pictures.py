"""Makes the README's picture.

  python docs/make_pictures.py

No network and no weights: a puppet's true joints serve as control points, one thin-plate spline a
body part is fitted with `tpsm_jax.ops`, and each place takes the warp of the nearest part. The
model learns the keypoints, and which warp counts where, by itself.
"""

import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data.puppets import draw_clip
from data.puppets.appearance import Appearance, appearance
from data.puppets.canvas import Point, between
from data.puppets.motion import FRAMES_PER_SECOND, Motion
from data.puppets.skeleton import Skeleton, skeleton
from tpsm_jax.media.images import to_float, to_uint8
from tpsm_jax.media.visualize import contribution_maps_to_color, draw_keypoints, flow_to_color
from tpsm_jax.ops.coordinates import coordinate_grid
from tpsm_jax.ops.grid_sample import grid_sample
from tpsm_jax.ops.thin_plate_spline import evaluate_thin_plate_spline, fit_thin_plate_spline

PATH = Path(__file__).parent / "images" / "thin_plate_splines.png"
SIZE = 192
SOURCE, DRIVING = 1, 17  # identities
SOURCE_MOTION, SOURCE_FRAME = 3, 0
ROWS = ((34, 48), (5, 42))  # driving motion and frame, where it stands as the source does
SHOWN_PARTS = (("trunk", 1), ("one arm", 2), ("other arm", 3))


def main() -> None:
    """Draws the sheet and writes it."""
    rows = [draw_row(motion, frame) for motion, frame in ROWS]
    names = ["source", "driving", *(name for name, _ in SHOWN_PARTS), "flow", "shares", "all warps"]
    sheet = lay_out(rows, names)
    PATH.parent.mkdir(exist_ok=True)
    # A palette keeps the textured picture small; the eye does not see it.
    sheet.quantize(256, dither=Image.Dither.NONE).save(PATH, optimize=True)
    print(f"wrote {PATH.name}: {PATH.stat().st_size // 1024} KB")


def draw_row(motion: int, frame: int) -> list[np.ndarray]:
    """The pictures of one driving pose, uint8 [SIZE, SIZE, 3] each."""
    look = appearance(SOURCE)
    source_time, time = SOURCE_FRAME / FRAMES_PER_SECOND, frame / FRAMES_PER_SECOND
    source_points = control_points(look, skeleton(look, Motion(SOURCE_MOTION)(source_time)))
    # The source's own build in the driving pose: what the model's "relative" mode is after.
    points = control_points(look, skeleton(look, Motion(motion)(time)))
    source = draw_clip(SOURCE, SOURCE_MOTION, num_frames=SOURCE_FRAME + 1, size=SIZE)[-1]
    driving = draw_clip(DRIVING, motion, num_frames=frame + 1, size=SIZE)[-1]

    grid = coordinate_grid(SIZE, SIZE)
    splines = jax.vmap(fit_thin_plate_spline)(jnp.asarray(points), jnp.asarray(source_points))
    warps = np.asarray(jax.vmap(evaluate_thin_plate_spline, in_axes=(0, None))(splines, grid))
    grids = np.concatenate([np.asarray(grid)[None], warps])
    shares = part_shares(np.asarray(grid), points)
    deformation = np.einsum("hwk,khwc->hwc", shares, grids)

    image = jnp.asarray(to_float(source))
    parts = [
        draw_keypoints(np.asarray(grid_sample(image, grids[number + 1])), points[number], radius=4)
        for _, number in SHOWN_PARTS
    ]
    combined = to_uint8(np.asarray(grid_sample(image, deformation)))
    flow = flow_to_color(deformation - np.asarray(grid), largest=0.45)
    marked = draw_keypoints(source, source_points.reshape(-1, 2), radius=3)
    return [marked, driving, *parts, flow, contribution_maps_to_color(shares), combined]


def control_points(look: Appearance, bones: Skeleton) -> np.ndarray:
    """Five points a body part: head, trunk, two arms, two legs.

    Returns:
      [6, 5, 2] float32, (x, y) in [-1, 1].
    """
    head = [bones.head] + [
        (
            bones.head[0] + look.head * math.sin(bones.head_angle + turn),
            bones.head[1] - look.head * math.cos(bones.head_angle + turn),
        )
        for turn in (0.0, 0.5 * math.pi, math.pi, 1.5 * math.pi)
    ]
    trunk = [*bones.shoulders, *bones.hip_joints, between(bones.hips, bones.chest, 0.5)]
    chains = zip(
        bones.shoulders + bones.hip_joints,
        bones.elbows + bones.knees,
        bones.hands + bones.feet,
        strict=True,
    )
    parts = [head, trunk, *(_limb_points(*chain) for chain in chains)]
    return (np.array(parts, np.float32) * 2 - np.array([0, 1], np.float32)).astype(np.float32)


def _limb_points(start: Point, joint: Point, end: Point) -> list[Point]:
    """A limb's joints, and two points beside it, which keep it from being squeezed."""
    return [start, joint, end, _beside(start, joint), _beside(joint, end)]


def _beside(start: Point, end: Point) -> Point:
    middle = between(start, end, 0.5)
    dx, dy = end[0] - start[0], end[1] - start[1]
    scale = 0.04 / math.hypot(dx, dy)
    return (middle[0] - dy * scale, middle[1] + dx * scale)


def part_shares(grid: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How much each warp counts at each place: the nearest part's most, far from all nobody's.

    Returns:
      [H, W, 1 + parts] float32, summing to 1; the first is the background.
    """
    upper = [(part[0], part[1]) for part in points]
    # Hands and feet reach beyond the last joint.
    lines = upper + [(part[1], part[2] + 0.25 * (part[2] - part[1])) for part in points]
    distances = [_distance(grid, start, end) for start, end in lines]
    count = len(points)
    nearest = np.minimum(np.stack(distances[:count]), np.stack(distances[count:]))
    radius = np.array([0.22, 0.17, 0.095, 0.095, 0.105, 0.105])[:, None, None]
    nearest[0] = np.linalg.norm(grid - points[0, 0], axis=-1) - 0.1
    nearest[1] = _distance(grid, points[1, :2].mean(0), points[1, 2:4].mean(0))
    logits = np.concatenate([np.zeros_like(nearest[:1]), (radius - nearest) / 0.02])
    shares = np.exp(logits - logits.max(axis=0))
    return np.moveaxis(shares / shares.sum(axis=0), 0, -1).astype(np.float32)


def _distance(grid: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """From each place to the segment between two points."""
    along = (grid - start) @ (end - start) / np.sum((end - start) ** 2)
    foot = start + np.clip(along, 0, 1)[..., None] * (end - start)
    return np.linalg.norm(grid - foot, axis=-1)


def lay_out(rows: list[list[np.ndarray]], names: list[str]) -> Image.Image:
    """Rows of pictures with their names above."""
    gap, top = 4, 22
    across, down = SIZE + gap, SIZE + gap
    sheet = Image.new("RGB", (len(names) * across - gap, top + len(rows) * down - gap), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for column, name in enumerate(names):
        draw.text((column * across + SIZE / 2, 10), name, fill=(40, 40, 48), font=font, anchor="mm")
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            sheet.paste(Image.fromarray(cell), (column * across, top + row * down))
    return sheet


if __name__ == "__main__":
    main()
