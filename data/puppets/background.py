"""Textured scenes behind the puppets, and the camera that drifts over them."""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from data.puppets.canvas import Color, Point, mix
from data.puppets.randomness import Dice

KINDS = ("hills", "room", "city", "brush", "tiles")
MARGIN = 1.3  # size of a scene over the picture's, so that the camera has room to move
_SUPERSAMPLING = 2
_FLOOR = 0.80  # height of the horizon from the top, in picture heights

SKIES: tuple[tuple[Color, Color], ...] = (
    ((122, 190, 232), (236, 244, 236)),
    ((250, 176, 132), (254, 232, 190)),
    ((112, 122, 190), (244, 186, 190)),
    ((140, 212, 208), (250, 246, 214)),
    ((58, 72, 128), (176, 140, 186)),
)
WALLS: tuple[tuple[Color, Color], ...] = (
    ((206, 222, 214), (184, 206, 200)),
    ((240, 220, 190), (228, 202, 166)),
    ((214, 206, 228), (194, 184, 214)),
    ((198, 216, 236), (176, 198, 224)),
    ((244, 208, 200), (232, 188, 180)),
)
WOODS: tuple[Color, ...] = ((182, 132, 92), (148, 104, 78), (206, 164, 118), (120, 96, 92))
GREENS: tuple[Color, ...] = ((120, 178, 100), (96, 156, 112), (164, 190, 96), (84, 140, 128))


def draw_background(identity: int, height: int, width: int) -> Image.Image:
    """Draws a scene, `MARGIN` times as large as the picture that it is for.

    Args:
      identity: the figure's number. Its scene never changes.
      height: height of the picture in pixels.
      width: width of the picture in pixels.

    Returns:
      An RGB picture.
    """
    dice = Dice(3, identity)
    tall, wide = (math.ceil(MARGIN * side) * _SUPERSAMPLING for side in (height, width))
    kind = dice.pick(KINDS)
    scene = _MAKERS[kind](dice, tall, wide)
    scene = scene.reduce(_SUPERSAMPLING)
    # The blur sets the scene apart from the figure; the grain gives flat areas a texture.
    scene = scene.filter(ImageFilter.GaussianBlur(0.004 * min(height, width)))
    pixels = np.asarray(scene, dtype=np.float32)
    tall, wide = pixels.shape[:2]
    grain = _noise(dice, tall, wide, 40) + 0.6 * _noise(dice, tall, wide, 90)
    return Image.fromarray(np.clip(pixels + 9 * grain[..., None], 0, 255).astype(np.uint8))


def view(
    scene: Image.Image, height: int, width: int, camera: tuple[float, float, float, float]
) -> Image.Image:
    """Cuts the part of a scene out that the camera sees.

    Args:
      scene: made by `draw_background` for the same height and width.
      height: height of the picture in pixels.
      width: width of the picture in pixels.
      camera: shift to the right and down (in short sides), zoom (0 is none) and turn (radians).

    Returns:
      An RGB picture of height x width.
    """
    right, down, cos, sin = _seen_through(camera)
    size = min(height, width)
    cx, cy = width / 2, height / 2
    ox, oy = scene.width / 2 + right * size, scene.height / 2 + down * size
    matrix = (cos, -sin, ox - cos * cx + sin * cy, sin, cos, oy - sin * cx - cos * cy)
    return scene.transform(
        (width, height), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC
    )


def seen_at(point: Point, camera: tuple[float, float, float, float]) -> Point:
    """Where the camera sees a point of the scene.

    Args:
      point: (x, y) from the scene's middle, in short sides of the picture.
      camera: the one that `view` is given.

    Returns:
      (x, y) from the picture's middle, in short sides.
    """
    right, down, cos, sin = _seen_through(camera)
    x, y = point[0] - right, point[1] - down
    square = cos**2 + sin**2
    return (cos * x + sin * y) / square, (cos * y - sin * x) / square


def _seen_through(
    camera: tuple[float, float, float, float],
) -> tuple[float, float, float, float]:
    """The shift to the right and down, and cosine and sine of the turn over the enlargement."""
    right, down, zoom, turn = camera
    # The shift is bounded so that the scene's edge is never in view.
    room = (MARGIN - 1) / 2
    right, down = (max(-0.6 * room, min(0.6 * room, shift)) for shift in (right, down))
    return right, down, math.cos(turn) / (1 + abs(zoom)), math.sin(turn) / (1 + abs(zoom))


def _noise(dice: Dice, height: int, width: int, cells: int) -> np.ndarray:
    """Smooth noise in [-1, 1], about `cells` bumps along the longer side."""
    step = max(height, width) / cells
    grid = dice.field(math.ceil(height / step) + 1, math.ceil(width / step) + 1) * 2 - 1
    image = Image.fromarray(grid.astype(np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))


def _gradient(height: int, width: int, top: Color, bottom: Color) -> Image.Image:
    share = np.linspace(0, 1, height)[:, None, None]
    rows = np.asarray(top) * (1 - share) + np.asarray(bottom) * share
    return Image.fromarray(np.broadcast_to(rows, (height, width, 3)).astype(np.uint8))


def _horizon(height: int) -> int:
    """The row of the horizon in a scene of this height."""
    return round(height * (0.5 + (_FLOOR - 0.5) / MARGIN))


def _hills(dice: Dice, height: int, width: int) -> Image.Image:
    top, bottom = dice.pick(SKIES)
    scene = _gradient(height, width, top, bottom)
    draw = ImageDraw.Draw(scene)
    x, y, size = dice.uniform(0.2, 0.8) * width, dice.uniform(0.18, 0.35) * height, 0.08 * height
    draw.ellipse((x - size, y - size, x + size, y + size), fill=mix(bottom, (255, 255, 240), 0.7))
    for _ in range(4):
        _cloud(draw, dice, height, width, mix(bottom, (255, 255, 255), 0.6))
    green, ground = dice.pick(GREENS), _horizon(height)
    for layer in range(3):
        base = ground - (2 - layer) * 0.10 * height
        color = mix(green, bottom, 0.55 - 0.25 * layer)
        phase, waves = dice.uniform(0, 6.28), dice.uniform(1.5, 3.5)
        xs = np.linspace(0, width, 80)
        ys = base - 0.045 * height * (
            np.sin(waves * 2 * math.pi * xs / width + phase)
            + 0.5 * np.sin(2.3 * waves * 2 * math.pi * xs / width + 2 * phase)
        )
        edge = list(zip(xs.tolist(), ys.tolist(), strict=True))
        draw.polygon([(0, height), *edge, (width, height)], fill=color)
        for _ in range(7):
            at = int(dice.uniform(0, 79))
            _tree(draw, dice, edge[at], (0.03 + 0.018 * layer) * height, shade_of(color))
    draw.rectangle((0, ground + 0.03 * height, width, height), fill=green)
    for _ in range(260):
        x, y = dice.uniform(0, width), dice.uniform(ground + 0.035 * height, height)
        size = dice.uniform(0.002, 0.006) * height
        petal = dice.pick(((255, 240, 200), (250, 190, 120), shade_of(green), shade_of(green)))
        draw.ellipse((x - size, y - size, x + size, y + size), fill=petal)
    return scene


def _room(dice: Dice, height: int, width: int) -> Image.Image:
    wall, paper = dice.pick(WALLS)
    scene = _gradient(height, width, wall, mix(wall, (255, 255, 255), 0.12))
    draw = ImageDraw.Draw(scene)
    ground, step = _horizon(height), max(4, round(0.07 * height))
    pattern = dice.pick(("stripes", "dots", "diamonds"))
    for row, y in enumerate(range(0, ground, step)):
        for x in range(0, width + step, step):
            cx, cy, r = x + (row % 2) * step / 2, y + step / 2, step * 0.2
            if pattern == "stripes":
                draw.rectangle((x, y, x + step * 0.4, y + step), fill=paper)
            elif pattern == "dots":
                draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=paper)
            else:
                draw.polygon(
                    [(cx, cy - 2 * r), (cx + r, cy), (cx, cy + 2 * r), (cx - r, cy)], fill=paper
                )
    _frame_on_wall(draw, dice, dice.uniform(0.17, 0.3) * width, height)
    _frame_on_wall(draw, dice, dice.uniform(0.7, 0.83) * width, height)
    wood, board, gap = dice.pick(WOODS), max(3, round(0.045 * height)), 0.0045 * height
    for row, y in enumerate(range(ground, height, board)):
        offset, length = dice.uniform(0, 0.4) * width, 0.35 * width
        for i in range(-1, 5):
            left = offset + i * length - 0.4 * width * (row % 2)
            tone = mix(wood, (255, 236, 200), dice.uniform(0, 0.22))
            box = (left, y, left + length - gap, y + board - gap)
            draw.rectangle(box, fill=tone)
    skirting = mix(wall, (255, 255, 255), 0.55)
    draw.rectangle((0, ground - 0.022 * height, width, ground), fill=skirting)
    return scene


def _city(dice: Dice, height: int, width: int) -> Image.Image:
    top, bottom = dice.pick(SKIES)
    scene = _gradient(height, width, top, bottom)
    draw = ImageDraw.Draw(scene)
    ground = _horizon(height)
    for layer in range(2):
        tone = mix(
            dice.pick(((86, 92, 130), (126, 92, 110), (72, 104, 122))), bottom, 0.5 - 0.3 * layer
        )
        left = -dice.uniform(0, 0.1) * width
        while left < width:
            wide = dice.uniform(0.09, 0.17) * width
            high = dice.uniform(0.2, 0.45) * height * (1 - 0.35 * layer)
            draw.rectangle((left, ground - high, left + wide, ground), fill=tone)
            _windows(draw, dice, (left, ground - high, left + wide, ground), tone, height)
            left += wide + dice.uniform(0.0, 0.03) * width
            tone = mix(tone, dice.pick(((255, 200, 160), (90, 90, 140))), 0.08)
    seam = max(1, round(0.0075 * height))
    pavement = mix((150, 148, 158), bottom, 0.25)
    draw.rectangle((0, ground, width, height), fill=pavement)
    draw.rectangle((0, ground, width, ground + 0.018 * height), fill=shade_of(pavement))
    for crack in range(0, width, round(0.12 * height)):
        low = width / 2 + (crack - width / 2) * 1.6
        draw.line((crack, ground + 0.02 * height, low, height), fill=shade_of(pavement), width=seam)
    draw.line(
        (0, ground + 0.09 * height, width, ground + 0.09 * height),
        fill=shade_of(pavement),
        width=seam,
    )
    return scene


def _brush(dice: Dice, height: int, width: int) -> Image.Image:
    """A studio backdrop painted with a broad brush."""
    top, bottom = dice.pick(SKIES)
    third = dice.pick(GREENS + WOODS)
    blobs = np.clip(0.5 + 0.9 * _noise(dice, height, width, 6), 0, 1)[..., None]
    fine = np.clip(0.5 + 0.9 * _noise(dice, height, width, 16), 0, 1)[..., None]
    paint = np.asarray(top) * blobs + np.asarray(bottom) * (1 - blobs)
    paint = paint * (1 - 0.3 * fine) + np.asarray(third) * 0.3 * fine
    ground = _horizon(height)
    dark = np.where(np.arange(height)[:, None, None] > ground, 0.82, 1.0)
    return Image.fromarray((paint * dark).astype(np.uint8))


def _tiles(dice: Dice, height: int, width: int) -> Image.Image:
    """A wall of irregular bricks over a plain floor."""
    base, grout = dice.pick(((186, 116, 96), (150, 160, 172), (196, 170, 132))), (232, 224, 212)
    scene = Image.new("RGB", (width, height), grout)
    draw = ImageDraw.Draw(scene)
    ground, rows = _horizon(height), max(3, round(0.05 * height))
    gap = 0.0045 * height
    for row, y in enumerate(range(0, ground, rows)):
        for x in range(-2 * rows, width + 2 * rows, 2 * rows):
            left = x + (row % 2) * rows
            tone = mix(base, dice.pick(((90, 60, 70), (250, 214, 176))), dice.uniform(0, 0.24))
            box = (left + gap, y + gap, left + 2 * rows - gap, min(ground, y + rows - gap))
            draw.rounded_rectangle(box, radius=2 * gap, fill=tone)
    floor = dice.pick(WOODS)
    draw.rectangle((0, ground, width, height), fill=mix(floor, (240, 230, 220), 0.35))
    draw.rectangle((0, ground, width, ground + 0.014 * height), fill=shade_of(floor))
    for _ in range(120):
        start, level = dice.uniform(0, width), dice.uniform(ground, height)
        end = start + dice.uniform(0.01, 0.05) * width
        tone = mix(floor, (240, 230, 220), 0.15)
        draw.line((start, level, end, level), fill=tone, width=max(1, round(gap)))
    return scene


_MAKERS = {"hills": _hills, "room": _room, "city": _city, "brush": _brush, "tiles": _tiles}


def shade_of(color: Color) -> Color:
    """A slightly darker, cooler tone."""
    return mix(color, (40, 50, 80), 0.22)


def _cloud(draw: ImageDraw.ImageDraw, dice: Dice, height: int, width: int, color: Color) -> None:
    x, y = dice.uniform(0, width), dice.uniform(0.12, 0.42) * height
    for i in range(4):
        r = dice.uniform(0.02, 0.04) * height
        cx = x + (i - 1.5) * 0.035 * height
        draw.ellipse((cx - 1.4 * r, y - r, cx + 1.4 * r, y + 0.7 * r), fill=color)


def _tree(
    draw: ImageDraw.ImageDraw,
    dice: Dice,
    foot: tuple[float, float],
    size: float,
    color: Color,
) -> None:
    x, y = foot
    draw.rectangle(
        (x - 0.1 * size, y - 0.8 * size, x + 0.1 * size, y + 0.3 * size), fill=(112, 84, 74)
    )
    if dice.chance(0.5):
        low, side = y - 0.4 * size, 0.7 * size
        draw.polygon([(x - side, low), (x, y - 2.2 * size), (x + side, low)], fill=color)
    else:
        draw.ellipse((x - 0.8 * size, y - 2.0 * size, x + 0.8 * size, y - 0.3 * size), fill=color)


def _frame_on_wall(draw: ImageDraw.ImageDraw, dice: Dice, x: float, height: int) -> None:
    y, w, h = dice.uniform(0.34, 0.44) * height, 0.075 * height, dice.uniform(0.07, 0.1) * height
    edge = 0.012 * height
    draw.rectangle((x - w - edge, y - h - edge, x + w + edge, y + h + edge), fill=dice.pick(WOODS))
    sky, low = dice.pick(SKIES)
    draw.rectangle((x - w, y - h, x + w, y + h), fill=sky)
    ridge = [(x - w, y + 0.3 * h), (x, y - 0.2 * h), (x + w, y + 0.5 * h)]
    hill = mix(low, dice.pick(GREENS), 0.6)
    draw.polygon([(x - w, y + h), *ridge, (x + w, y + h)], fill=hill)


def _windows(
    draw: ImageDraw.ImageDraw,
    dice: Dice,
    box: tuple[float, float, float, float],
    wall: Color,
    height: int,
) -> None:
    left, top, right, bottom = box
    step, size = 0.036 * height, 0.018 * height
    lit, dark = (255, 226, 150), shade_of(wall)
    y = top + size
    while y + size < bottom - size:
        x = left + size
        while x + size < right - 0.4 * size:
            draw.rectangle((x, y, x + size, y + size), fill=lit if dice.chance(0.3) else dark)
            x += step
        y += step
