"""Pictures of what the model does: keypoints, warps, contribution maps, flow, masks.

Plain NumPy and Pillow: arrays in, uint8 pictures out. Nothing here touches disk.
"""

import colorsys
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tpsm_jax.media.images import to_uint8

_SUPERSAMPLING = 4
_LABEL_HEIGHT = 14
_GAP = 2
_WHITE = (255, 255, 255)
_POINTS_A_SPLINE = 5


def spline_colors(count: int) -> np.ndarray:
    """Colors for `count` splines, evenly round the wheel from red to violet.

    Args:
      count: number of colors.

    Returns:
      [count, 3] uint8.
    """
    hues = [0.85 * index / max(1, count - 1) for index in range(count)]
    colors = [colorsys.hsv_to_rgb(hue, 0.95, 1.0) for hue in hues]
    return to_uint8(np.array(colors).reshape(-1, 3))


def draw_keypoints(
    image: np.ndarray,
    keypoints: np.ndarray,
    *,
    radius: float = 3.0,
    points_a_spline: int = _POINTS_A_SPLINE,
) -> np.ndarray:
    """Draws a disc at each keypoint, in the color of the spline that owns it.

    Args:
      image: [H, W, 3], uint8 or float in [0, 1].
      keypoints: [N, 2], (x, y) in [-1, 1]; those outside or not finite are not drawn.
      radius: radius of the discs, in pixels.
      points_a_spline: consecutive keypoints that share a color.

    Returns:
      A new [H, W, 3] uint8 picture.
    """
    picture = to_uint8(image)
    height, width = picture.shape[:2]
    colors = spline_colors(math.ceil(len(keypoints) / points_a_spline))
    scale = _SUPERSAMPLING
    layer = Image.new("RGBA", (width * scale, height * scale), (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    for index, (x, y) in enumerate(np.asarray(keypoints, dtype=np.float64)):
        if not (abs(x) <= 1 and abs(y) <= 1):
            continue
        # -1 and 1 are the centers of the outermost pixels.
        cx = ((x + 1) / 2 * (width - 1) + 0.5) * scale
        cy = ((y + 1) / 2 * (height - 1) + 0.5) * scale
        for size, color in (
            (radius, (20, 20, 20)),
            (0.75 * radius, tuple(int(part) for part in colors[index // points_a_spline])),
        ):
            reach = size * scale
            draw.ellipse((cx - reach, cy - reach, cx + reach, cy + reach), fill=(*color, 255))
    drawn = Image.alpha_composite(
        Image.fromarray(picture).convert("RGBA"), layer.reduce(_SUPERSAMPLING)
    )
    return np.asarray(drawn.convert("RGB"))


def identity_grid(height: int, width: int) -> np.ndarray:
    """The grid that samples every pixel from its own place: [H, W, 2] float32, (x, y)."""
    ys, xs = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return np.stack([xs, ys], axis=-1).astype(np.float32)


def flow_to_color(flow: np.ndarray, *, largest: float | None = None) -> np.ndarray:
    """A flow as colors: the hue is the direction, the saturation the length, still is white.

    Args:
      flow: [H, W, 2], (x, y), for instance a deformation minus `identity_grid`.
      largest: length that gets full saturation; by default the longest vector's (at least 1e-6).

    Returns:
      [H, W, 3] uint8: to the right is red, down yellow-green, to the left cyan, up violet.
    """
    flow = np.nan_to_num(np.asarray(flow, dtype=np.float64))
    length = np.hypot(flow[..., 0], flow[..., 1])
    if largest is None:
        largest = max(float(length.max(initial=0.0)), 1e-6)
    hue = np.arctan2(flow[..., 1], flow[..., 0]) / (2 * math.pi) % 1.0
    saturation = np.clip(length / largest, 0, 1)
    # From HSV at full value: each channel falls with its distance from its own hue.
    shift = np.array([0.0, 2 / 3, 1 / 3])
    ramp = np.abs((hue[..., None] + shift) % 1.0 * 6 - 3) - 1
    return to_uint8(1 - saturation[..., None] * (1 - np.clip(ramp, 0, 1)))


def contribution_maps_to_color(maps: np.ndarray) -> np.ndarray:
    """Contribution maps in one picture: each pixel mixes the colors of its sources.

    Args:
      maps: [H, W, K+1], summing to 1; the first is the background and is drawn black.

    Returns:
      [H, W, 3] uint8.
    """
    maps = np.asarray(maps, dtype=np.float64)
    colors = np.concatenate([np.zeros((1, 3)), spline_colors(maps.shape[-1] - 1) / 255])
    return to_uint8(maps @ colors)


def animation_sheet(
    outputs: Mapping[str, Any],
    source: np.ndarray,
    driving: np.ndarray,
    *,
    size: int = 128,
    wrap: int | None = None,
    largest_flow: float | None = None,
) -> np.ndarray:
    """All steps of the model side by side, one row a frame, each column with its name above.

    Args:
      outputs: what `MotionModel` returned for B frames: kp_source, kp_driving [B, N, 2],
        deformed_source [B, K+1, h, w, 3], contribution_maps [B, h, w, K+1], deformation
        [B, h, w, 2], occlusion_map (tuple of [B, h, w, 1]), deformed and prediction [B, H, W, 3].
        An entry that is missing or None leaves its columns out; kp_source may have batch 1.
      source: [B, H, W, 3] or [1, H, W, 3], uint8 or float in [0, 1].
      driving: [B, H, W, 3].
      size: height of a cell in pixels; its width follows from the pictures' shape.
      wrap: cells in a row; a frame's further cells go to the next row. By default all in one.
      largest_flow: length that gets full saturation, as in `flow_to_color`; by default that of
        the longest vector of the whole sheet.

    Returns:
      [rows, columns, 3] uint8.
    """
    frames = len(driving)
    values = {name: value for name, value in outputs.items() if value is not None}
    if "deformation" in values:
        deformation = np.asarray(values["deformation"])
        values["flow"] = deformation - identity_grid(*deformation.shape[1:3])
        if largest_flow is None:
            flow = np.nan_to_num(values["flow"])
            largest_flow = max(float(np.hypot(flow[..., 0], flow[..., 1]).max()), 1e-6)
    rows = []
    for index in range(frames):
        one = {name: _frame(value, index) for name, value in values.items()}
        cells = _cells(one, _frame(source, index), _frame(driving, index), largest_flow, size)
        wrap = wrap or len(cells)
        rows += [cells[start : start + wrap] for start in range(0, len(cells), wrap)]
    return _assemble(rows, size)


def _frame(value: Any, index: int) -> Any:
    """Entry `index` of a batch; the only one if the batch has one. Tuples entry by entry."""
    if isinstance(value, tuple | list):
        return [_frame(part, index) for part in value]
    value = np.asarray(value)
    return value[index if len(value) > 1 else 0]


def _cells(
    one: Mapping[str, Any],
    source: np.ndarray,
    driving: np.ndarray,
    largest_flow: float | None,
    size: int,
) -> list[tuple[str, np.ndarray]]:
    """The named pictures of one row."""
    radius = max(1.5, source.shape[0] / 64)
    cells = []
    for name, image, key in (("source", source, "kp_source"), ("driving", driving, "kp_driving")):
        picture = to_uint8(image)
        if key in one:
            picture = draw_keypoints(picture, one[key], radius=radius)
        cells.append((name, picture))
    if "deformed_source" in one:
        for number, warped in enumerate(one["deformed_source"]):
            cells.append((f"warp {number}" if number else "background", to_uint8(warped)))
    if "contribution_maps" in one:
        maps = one["contribution_maps"]
        for number in range(maps.shape[-1]):
            cells.append((f"share {number}", to_uint8(maps[..., number])))
        cells.append(("shares", contribution_maps_to_color(maps)))
    if "flow" in one:
        cells.append(("flow", flow_to_color(one["flow"], largest=largest_flow)))
    for mask in one.get("occlusion_map", ()):
        cells.append((f"mask {mask.shape[0]}", to_uint8(mask[..., 0])))
    for name in ("deformed", "prediction"):
        if name in one:
            cells.append((name, to_uint8(one[name])))
    height, width = source.shape[:2]
    return [(name, _fit(cell, size, round(size * width / height))) for name, cell in cells]


def _fit(cell: np.ndarray, height: int, width: int) -> np.ndarray:
    """The picture at the cell's size: smooth when it shrinks, in plain pixels when it grows."""
    image = Image.fromarray(np.ascontiguousarray(cell)).convert("RGB")
    smaller = width <= image.width and height <= image.height
    method = Image.Resampling.BOX if smaller else Image.Resampling.NEAREST
    return np.asarray(image.resize((width, height), method))


def _assemble(rows: Sequence[Sequence[tuple[str, np.ndarray]]], height: int) -> np.ndarray:
    """Rows of named cells as one picture, names above every row that has others than the last."""
    width = rows[0][0][1].shape[1]
    across, down = width + _GAP, height + _GAP
    names = [[name for name, _ in cells] for cells in rows]
    labeled = [row == 0 or names[row] != names[row - 1] for row in range(len(rows))]
    total_height = len(rows) * down - _GAP + _LABEL_HEIGHT * sum(labeled)
    sheet = Image.new("RGB", (max(map(len, rows)) * across - _GAP, total_height), (24, 24, 28))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    top = 0
    for cells, has_label in zip(rows, labeled, strict=True):
        for column, (name, cell) in enumerate(cells):
            if has_label:
                label = name
                while label and draw.textlength(label, font=font) > width:
                    label = label[:-1]
                draw.text((column * across + 2, top + 1), label, fill=_WHITE, font=font)
            below = top + _LABEL_HEIGHT * has_label
            sheet.paste(Image.fromarray(cell), (column * across, below))
        top += down + _LABEL_HEIGHT * has_label
    return np.asarray(sheet)
