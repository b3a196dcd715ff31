"""Draws a puppet's head: hair behind, face, hair and hat in front. Lengths are in heads."""

import math
from collections.abc import Callable

from data.puppets.appearance import Appearance
from data.puppets.canvas import Canvas, Color, Point, mix, shade
from data.puppets.motion import Pose
from data.puppets.skeleton import Skeleton

Place = Callable[[float, float], Point]


def draw_head_back(canvas: Canvas, look: Appearance, bones: Skeleton, pose: Pose) -> None:
    """Draws the hair that hangs behind the head and trunk."""
    at, line = _frame(look, bones), shade(look.hair)
    swing = max(-0.35, min(0.35, 7 * pose.trail))
    if look.hair_style == "long":
        shape = [at(-0.95, 0.5), at(0, 1.1), at(0.95, 0.5), at(1.12 + 0.4 * swing, -0.5),
                 at(1.0 + swing, -1.35), at(0.3 + swing, -1.5), at(-0.4 + swing, -1.5),
                 at(-1.0 + swing, -1.35), at(-1.12 + 0.4 * swing, -0.5)]  # fmt: skip
        canvas.blob(shape, shade(look.hair, 0.22), line)
    elif look.hair_style == "bun" and look.hat == "none":
        canvas.disc(at(0.1 + 0.3 * swing, 1.2), 0.42 * look.head, look.hair, line)
    elif look.hair_style == "pigtails":
        for side in (-1, 1):
            root, end = at(side * 0.95, 0.35), at(side * 1.4 + swing, -0.75)
            middle = at(side * 1.42 + 0.4 * swing, 0.0)
            sizes = [size * look.head for size in (0.16, 0.27, 0.12)]
            canvas.limb([root, middle, end], sizes, look.hair, line)
            canvas.disc(at(side * 1.02, 0.33), 0.14 * look.head, look.accent)
    elif look.hair_style == "curls":
        for i in range(11):
            angle = math.radians(-28 + i * 23.6)
            center = at(1.02 * math.cos(angle), 0.2 + 0.98 * math.sin(angle))
            canvas.disc(center, 0.36 * look.head, look.hair, line)


def draw_head(canvas: Canvas, look: Appearance, bones: Skeleton, pose: Pose) -> None:
    """Draws ears, face, hair and hat."""
    at, line = _frame(look, bones), shade(look.skin)
    for side in (-1, 1):
        ear = at(side * (0.97 * look.face_width - 0.06 * side * pose.turn), -0.1)
        canvas.disc(ear, 0.2 * look.head, look.skin, line)
    radii = (look.face_width * look.head, look.head)
    canvas.ellipse(bones.head, radii, bones.head_angle, look.skin, line)
    _draw_face(canvas, look, at, pose, bones.head_angle)
    _draw_hair(canvas, look, at, pose.turn)
    _draw_hat(canvas, look, at)


def _frame(look: Appearance, bones: Skeleton) -> Place:
    cos, sin, size = math.cos(bones.head_angle), math.sin(bones.head_angle), look.head
    (x0, y0) = bones.head
    return lambda x, y: (x0 + size * (x * cos + y * sin), y0 + size * (x * sin - y * cos))


def _draw_face(canvas: Canvas, look: Appearance, at: Place, pose: Pose, angle: float) -> None:
    ink: Color = (44, 32, 46)
    size, shift = look.head, 0.26 * pose.turn
    for side in (-1, 1):
        x = shift + side * 0.36 * (1 - 0.12 * side * pose.turn)
        cheek = mix(look.skin, (240, 96, 96), 0.38)
        canvas.ellipse(at(x + side * 0.17, -0.33), (0.17 * size, 0.11 * size), angle, cheek)
        if pose.blink:
            canvas.line([at(x - 0.13, -0.02), at(x, -0.06), at(x + 0.13, -0.02)], 0.06 * size, ink)
        else:
            white = (look.eye * size, 1.3 * look.eye * size)
            canvas.ellipse(at(x, 0.0), white, angle, (255, 255, 255), mix(look.skin, ink, 0.6))
            canvas.disc(at(x + 0.07 * pose.turn, -0.01), 0.62 * look.eye * size, ink)
            canvas.disc(at(x + 0.07 * pose.turn + 0.035, 0.055), 0.2 * look.eye * size, (255,) * 3)
        brow = [at(x - 0.16, 0.31 + 0.02 * side), at(x, 0.36), at(x + 0.16, 0.31 - 0.02 * side)]
        canvas.line(brow, 0.065 * size, shade(look.hair, 0.3))
    if look.freckles:
        for x, y in ((-0.2, -0.26), (-0.1, -0.33), (0.1, -0.33), (0.2, -0.26)):
            canvas.disc(at(shift + x, y), 0.03 * size, mix(look.skin, (130, 70, 40), 0.5))
    nose = mix(look.skin, (170, 70, 60), 0.35)
    canvas.ellipse(at(1.25 * shift, -0.2), (0.09 * size, 0.07 * size), angle, nose)
    _draw_mouth(canvas, at, size, shift, pose.mouth, angle)
    if look.extra == "glasses":
        _draw_glasses(canvas, look, at, shift)


def _draw_mouth(
    canvas: Canvas, at: Place, size: float, shift: float, mouth: float, angle: float
) -> None:
    ink: Color = (120, 40, 52)
    if mouth > 0.3:  # an open smile: flat above, round below
        opening = 0.12 + 0.2 * min(1.0, mouth)
        round_part = [math.pi * i / 12 for i in range(13)]
        lips = [
            at(1.1 * shift + 0.24 * math.cos(a), -0.44 - opening * math.sin(a)) for a in round_part
        ]
        tongue = (0.12 * size, 0.3 * opening * size)
        canvas.polygon(lips, ink, ink)
        canvas.ellipse(at(1.1 * shift, -0.44 - 0.72 * opening), tongue, angle, (236, 120, 120))
    else:
        smile = [at(1.1 * shift + x, -0.5 - 0.09 * math.cos(x * 6)) for x in _SMILE]
        canvas.line(smile, 0.06 * size, ink)


_SMILE = (-0.22, -0.15, -0.07, 0.0, 0.07, 0.15, 0.22)


def _draw_glasses(canvas: Canvas, look: Appearance, at: Place, shift: float) -> None:
    ring = [(math.cos(math.pi * i / 12), math.sin(math.pi * i / 12)) for i in range(25)]
    color = shade(look.trousers, 0.3)
    for side in (-1, 1):
        x = shift + side * 0.37
        points = [at(x + 0.28 * c, 0.28 * s) for c, s in ring]
        canvas.line(points, 0.065 * look.head, color)
    canvas.line([at(shift - 0.1, 0.02), at(shift + 0.1, 0.02)], 0.065 * look.head, color)


def _draw_hair(canvas: Canvas, look: Appearance, at: Place, turn: float) -> None:
    line, part = shade(look.hair), 0.12 * turn
    if look.hair_style in ("short", "curls"):
        shape = [at(-1.02, -0.02), at(-0.98, 0.62), at(-0.5, 1.08), at(0.1, 1.16), at(0.66, 0.98),
                 at(1.03, 0.5), at(1.02, -0.02), at(0.86, 0.3), at(0.45 + part, 0.52),
                 at(part, 0.42), at(-0.5 + part, 0.58), at(-0.86, 0.3)]  # fmt: skip
    elif look.hair_style == "fringe":
        shape = [at(-1.04, -0.25), at(-1.02, 0.55), at(-0.55, 1.07), at(0.0, 1.16), at(0.55, 1.07),
                 at(1.02, 0.55), at(1.04, -0.25), at(0.86, 0.28), at(0.6 + part, 0.38),
                 at(0.3 + part, 0.34), at(part, 0.4), at(-0.3 + part, 0.34), at(-0.6 + part, 0.38),
                 at(-0.86, 0.28)]  # fmt: skip
    else:  # parted on one side: long, bun, pigtails
        shape = [at(-1.03, -0.2), at(-1.0, 0.55), at(-0.5, 1.08), at(0.1, 1.14), at(0.6, 1.0),
                 at(1.0, 0.5), at(1.03, -0.2), at(0.88, 0.2), at(0.62, 0.44),
                 at(0.25 + part, 0.74), at(-0.2 + part, 0.58), at(-0.66, 0.42),
                 at(-0.88, 0.14)]  # fmt: skip
    canvas.blob(shape, look.hair, line)
    shine = [at(-0.52, 0.76), at(-0.3, 0.9), at(-0.06, 0.95)]
    canvas.line(shine, 0.08 * look.head, mix(look.hair, (255, 255, 255), 0.28))


def _draw_hat(canvas: Canvas, look: Appearance, at: Place) -> None:
    color, size = look.accent, look.head
    line = shade(color, 0.5)
    if look.hat == "beanie":
        dome = [at(-1.0, 0.5), at(-0.86, 1.05), at(-0.35, 1.42), at(0.35, 1.42), at(0.86, 1.05),
                at(1.0, 0.5), at(0.5, 0.6), at(-0.5, 0.6)]  # fmt: skip
        canvas.blob(dome, color, line)
        rim = [at(-0.95, 0.46), at(-0.5, 0.58), at(0, 0.62), at(0.5, 0.58), at(0.95, 0.46)]
        canvas.limb(rim, [0.13 * size] * 5, mix(color, look.shirt, 0.55), line)
        canvas.disc(at(0, 1.52), 0.22 * size, mix(color, look.shirt, 0.55), line)
    elif look.hat == "cap":
        dome = [at(-1.0, 0.46), at(-0.9, 0.95), at(-0.4, 1.3), at(0.4, 1.3), at(0.9, 0.95),
                at(1.0, 0.46), at(0, 0.56)]  # fmt: skip
        canvas.blob(dome, color, line)
        peak = [at(-0.5, 0.5), at(0.3, 0.56), at(1.1, 0.42)]
        canvas.limb(peak, [0.06 * size, 0.1 * size, 0.09 * size], look.shirt, line)
        canvas.disc(at(0, 1.32), 0.08 * size, look.shirt, line)
    elif look.hat == "crown":
        gold: Color = (250, 204, 84)
        points = [at(-0.62, 0.82), at(-0.72, 1.45), at(-0.34, 1.14), at(0, 1.55), at(0.34, 1.14),
                  at(0.72, 1.45), at(0.62, 0.82), at(0, 0.74)]  # fmt: skip
        canvas.polygon(points, gold, shade(gold))
        for x, y in ((-0.4, 0.95), (0.0, 0.93), (0.4, 0.95)):
            canvas.disc(at(x, y), 0.085 * size, look.shirt)
