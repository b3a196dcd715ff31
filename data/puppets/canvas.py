"""Outlined, anti-aliased shapes on a transparent picture, in units of the picture's short side."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

Point = tuple[float, float]
Color = tuple[int, int, int]

SUPERSAMPLING = 4  # shapes are drawn this many times larger and averaged down


def mix(first: Color, second: Color, share: float) -> Color:
    """A mixture of two colors: `share` (0 to 1) of `second`, the rest of `first`."""
    return tuple(round(a + (b - a) * share) for a, b in zip(first, second, strict=True))  # type: ignore[return-value]


def shade(color: Color, share: float = 0.55) -> Color:
    """A darker color for the outline of a shape, mixed with a warm near-black."""
    return mix(color, (34, 24, 44), share)


def along(start: Point, angle: float, length: float) -> Point:
    """The point `length` away from `start`; angle in radians, 0 down, positive to the right."""
    return (start[0] + length * math.sin(angle), start[1] + length * math.cos(angle))


def between(start: Point, end: Point, share: float) -> Point:
    """The point `share` of the way from `start` to `end`."""
    return (start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share)


def smooth_outline(points: Sequence[Point], steps: int = 10) -> list[Point]:
    """A closed Catmull-Rom curve through `points`."""
    knots = np.asarray(points, dtype=np.float64)
    before, after, beyond = (np.roll(knots, shift, axis=0) for shift in (1, -1, -2))
    t = np.arange(steps)[:, None, None] / steps
    curve = 0.5 * (
        2 * knots
        + (after - before) * t
        + (2 * before - 5 * knots + 4 * after - beyond) * t**2
        + (3 * knots - before - 3 * after + beyond) * t**3
    )
    return [(float(x), float(y)) for x, y in curve.transpose(1, 0, 2).reshape(-1, 2)]


class Canvas:
    """A transparent picture of `height` x `width` pixels.

    Coordinates are in units of the shorter side: x is 0 in the middle; y points down and is 1 at
    the bottom edge. So a figure keeps its shape and stands on the floor at any size.
    """

    def __init__(self, height: int, width: int, line_width: float = 0.007) -> None:
        self.line_width = line_width
        self._scale = min(height, width) * SUPERSAMPLING
        self._origin = (width * SUPERSAMPLING / 2, height * SUPERSAMPLING - self._scale)
        size = (width * SUPERSAMPLING, height * SUPERSAMPLING)
        self._image = Image.new("RGBA", size, (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self._image)

    def picture(self) -> Image.Image:
        """The picture at its final size, RGBA."""
        return self._image.reduce(SUPERSAMPLING)

    def polygon(self, points: Sequence[Point], fill: Color, outline: Color | None = None) -> None:
        """Draws a filled polygon, with an outline if a color is given for it."""
        pixels = [self._pixel(point) for point in points]
        if outline is not None:
            self._stroke(pixels, outline)
        self._draw.polygon(pixels, fill=fill)

    def blob(self, points: Sequence[Point], fill: Color, outline: Color | None = None) -> None:
        """Draws a rounded shape through `points`."""
        self.polygon(smooth_outline(points), fill, outline)

    def disc(self, center: Point, radius: float, fill: Color, outline: Color | None = None) -> None:
        """Draws a filled circle."""
        self.ellipse(center, (radius, radius), 0.0, fill, outline)

    def ellipse(
        self,
        center: Point,
        radii: tuple[float, float],
        angle: float,
        fill: Color,
        outline: Color | None = None,
    ) -> None:
        """Draws a filled ellipse, rotated clockwise by `angle` radians; `radii` are half axes."""
        turn = np.linspace(0, 2 * math.pi, 48, endpoint=False)
        x, y = radii[0] * np.cos(turn), radii[1] * np.sin(turn)
        cos, sin = math.cos(angle), math.sin(angle)
        points = np.stack([center[0] + x * cos - y * sin, center[1] + x * sin + y * cos], axis=1)
        self.polygon([(float(px), float(py)) for px, py in points], fill, outline)

    def limb(
        self,
        joints: Sequence[Point],
        radii: Sequence[float],
        fill: Color,
        outline: Color | None = None,
    ) -> None:
        """Draws a chain of tapering rounded segments with one outline around the whole."""
        if outline is not None:
            self._chain(joints, [radius + self.line_width for radius in radii], outline)
        self._chain(joints, radii, fill)

    def line(self, points: Sequence[Point], width: float, fill: Color) -> None:
        """Draws an open line with round ends."""
        self._chain(points, [width / 2] * len(points), fill)

    def shadow(self, center: Point, radii: tuple[float, float], strength: float) -> None:
        """Draws a dark translucent ellipse; `strength` is from 0 to 1."""
        (x, y), scale = self._pixel(center), self._scale
        box = (
            x - radii[0] * scale,
            y - radii[1] * scale,
            x + radii[0] * scale,
            y + radii[1] * scale,
        )
        self._draw.ellipse(box, fill=(20, 14, 30, round(255 * strength)))

    def inside(
        self, shape: Sequence[Point], patches: Sequence[Sequence[Point]], fill: Color
    ) -> None:
        """Draws the parts of `patches` (polygons) that lie within the polygon `shape`."""
        pixels = [self._pixel(point) for point in shape]
        left, top = (math.floor(min(axis)) for axis in zip(*pixels, strict=True))
        right, bottom = (math.ceil(max(axis)) + 1 for axis in zip(*pixels, strict=True))
        size = (right - left, bottom - top)
        masks = [Image.new("1", size), Image.new("1", size)]
        for mask, polygons in zip(masks, ([pixels], patches), strict=True):
            draw = ImageDraw.Draw(mask)
            for polygon in polygons:
                corners = (
                    polygon if polygon is pixels else [self._pixel(point) for point in polygon]
                )
                draw.polygon([(x - left, y - top) for x, y in corners], fill=1)
        both = Image.fromarray(np.asarray(masks[0]) & np.asarray(masks[1]))
        self._image.paste(fill, (left, top), both)

    def _pixel(self, point: Point) -> Point:
        return (
            self._origin[0] + point[0] * self._scale,
            self._origin[1] + point[1] * self._scale,
        )

    def _stroke(self, pixels: list[Point], color: Color) -> None:
        width = max(1, round(2 * self.line_width * self._scale))
        self._draw.line([*pixels, pixels[0], pixels[1]], fill=color, width=width, joint="curve")

    def _chain(self, joints: Sequence[Point], radii: Sequence[float], color: Color) -> None:
        pixels = [self._pixel(joint) for joint in joints]
        sizes = [radius * self._scale for radius in radii]
        for (x, y), size in zip(pixels, sizes, strict=True):
            self._draw.ellipse((x - size, y - size, x + size, y + size), fill=color)
        for i in range(len(pixels) - 1):
            (x0, y0), (x1, y1) = pixels[i], pixels[i + 1]
            length = math.hypot(x1 - x0, y1 - y0)
            if length == 0:
                continue
            nx, ny = (y0 - y1) / length, (x1 - x0) / length
            a, b = sizes[i], sizes[i + 1]
            quad = [
                (x0 + nx * a, y0 + ny * a),
                (x1 + nx * b, y1 + ny * b),
                (x1 - nx * b, y1 - ny * b),
                (x0 - nx * a, y0 - ny * a),
            ]
            self._draw.polygon(quad, fill=color)
