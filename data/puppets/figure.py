"""Draws a puppet from back to front, each part in its own frame."""

import math
from collections.abc import Callable

from data.puppets.appearance import Appearance
from data.puppets.canvas import Canvas, Color, Point, between, mix, shade, smooth_outline
from data.puppets.head import draw_head, draw_head_back
from data.puppets.motion import Pose
from data.puppets.skeleton import FLOOR, Skeleton, skeleton

Frame = Callable[[float, float], Point]


def draw_figure(canvas: Canvas, look: Appearance, pose: Pose) -> None:
    """Draws one puppet.

    Args:
      canvas: the picture to draw on.
      look: the figure's looks.
      pose: the angles and offsets of its joints at this moment.
    """
    bones = skeleton(look, pose)
    trunk = frame(bones.hips, bones.lean)
    fade = max(0.3, 1 - 8 * pose.jump)
    canvas.shadow(
        (pose.place + pose.sway * 0.7, FLOOR + 0.005), (0.17 * fade + 0.02, 0.022), 0.33 * fade
    )
    if look.extra == "cape":
        _draw_cape(canvas, look, bones, trunk, pose.trail)
    draw_head_back(canvas, look, bones, pose)
    for index in (0, 1):
        _draw_leg(canvas, look, bones, index)
    _draw_trunk(canvas, look, trunk, pose.trail)
    draw_head(canvas, look, bones, pose)
    if look.extra == "scarf":
        _draw_scarf(canvas, look, trunk, pose.trail)
    for index in (0, 1):
        _draw_arm(canvas, look, bones, index)


def frame(origin: Point, angle: float) -> Frame:
    """A part's own frame: x to its right, y up from `origin`, rotated clockwise by `angle`."""
    cos, sin = math.cos(angle), math.sin(angle)
    return lambda x, y: (origin[0] + x * cos + y * sin, origin[1] + x * sin - y * cos)


def _draw_leg(canvas: Canvas, look: Appearance, bones: Skeleton, index: int) -> None:
    side = (-1, 1)[index]
    joint, knee, foot = bones.hip_joints[index], bones.knees[index], bones.feet[index]
    thigh, shin = 0.037 * look.thickness, 0.028 * look.thickness
    cloth = look.trousers
    bare = look.bottom in ("skirt", "dress", "shorts")
    if bare:
        canvas.limb(
            [joint, knee, foot], [thigh * 0.8, shin, shin * 0.85], look.skin, shade(look.skin)
        )
    else:
        canvas.limb([joint, knee, foot], [thigh, shin * 1.12, shin], cloth, shade(cloth))
    if look.bottom == "shorts":
        hem = between(joint, knee, 0.85)
        canvas.limb([joint, hem], [thigh, thigh * 0.95], cloth, shade(cloth))
    toe = (foot[0] + side * 0.028, foot[1] + 0.017)
    canvas.limb(
        [(foot[0] - side * 0.004, foot[1] + 0.013), toe],
        [0.024, 0.02],
        look.shoes,
        shade(look.shoes),
    )


def _draw_arm(canvas: Canvas, look: Appearance, bones: Skeleton, index: int) -> None:
    shoulder, elbow, hand = bones.shoulders[index], bones.elbows[index], bones.hands[index]
    top, wrist = 0.035 * look.thickness, 0.028 * look.thickness
    sleeve = mix(look.shirt, (40, 30, 60), 0.07)
    palm = between(elbow, hand, 1.06)
    canvas.disc(palm, 0.04, look.skin, shade(look.skin))
    if look.long_sleeves:
        cuff = between(elbow, hand, 0.76)
        canvas.limb(
            [shoulder, elbow, cuff], [top, top * 0.86, wrist * 1.1], sleeve, shade(look.shirt)
        )
        canvas.line([between(elbow, hand, 0.72), cuff], wrist * 2.2, look.accent)
    else:
        skin = shade(look.skin)
        canvas.limb(
            [shoulder, elbow, hand], [top * 0.8, wrist * 1.05, wrist * 0.9], look.skin, skin
        )
        canvas.disc(palm, 0.038, look.skin)
        end = between(shoulder, elbow, 0.62)
        canvas.limb([shoulder, end], [top, top * 1.02], sleeve, shade(look.shirt))


def _draw_trunk(canvas: Canvas, look: Appearance, trunk: Frame, trail: float) -> None:
    top, wide, low = look.trunk, look.shoulders, look.hips
    waist = 0.5 * (wide + low) * 0.93
    if look.bottom in ("trousers", "shorts"):
        shorts = [trunk(-low * 1.05, 0.04), trunk(low * 1.05, 0.04), trunk(low * 1.1, -0.025),
                  trunk(0, -0.045), trunk(-low * 1.1, -0.025)]  # fmt: skip
        canvas.blob(shorts, look.trousers, shade(look.trousers))
    body = smooth_outline(
        [
            trunk(-wide * 0.55, top + 0.012),
            trunk(wide * 0.55, top + 0.012),
            trunk(wide * 1.08, top - 0.03),
            trunk(waist, top * 0.45),
            trunk(low * 1.12, 0.0),
            trunk(0, -0.014),
            trunk(-low * 1.12, 0.0),
            trunk(-waist, top * 0.45),
            trunk(-wide * 1.08, top - 0.03),
        ]
    )
    if look.bottom in ("skirt", "dress"):
        _draw_skirt(canvas, look, trunk, trail)
    canvas.polygon(body, look.shirt, shade(look.shirt))
    _draw_pattern(canvas, look, trunk, body)
    # A soft shadow on one side makes the trunk look round.
    side = [trunk(wide * 0.55, -0.05), trunk(wide * 1.5, -0.05), trunk(wide * 1.5, top + 0.05),
            trunk(wide * 0.75, top + 0.05)]  # fmt: skip
    if look.pattern in ("plain", "buttons"):
        canvas.inside(body, [side], mix(look.shirt, shade(look.shirt), 0.28))
    if look.bottom in ("trousers", "shorts"):
        belt = [trunk(-0.2, -0.02), trunk(0.2, -0.02), trunk(0.2, 0.008), trunk(-0.2, 0.008)]
        canvas.inside(body, [belt], shade(look.trousers, 0.35))
    neck = 0.026 * look.thickness
    canvas.limb([trunk(0, top - 0.005), trunk(0, top + 0.035)], [neck, neck], shade(look.skin, 0.2))


def _draw_skirt(canvas: Canvas, look: Appearance, trunk: Frame, trail: float) -> None:
    low = look.hips
    cloth = look.shirt if look.bottom == "dress" else look.trousers
    length = look.leg * (1.15 if look.bottom == "dress" else 0.85)
    wide = low * 1.9
    sway = max(-0.05, min(0.05, trail))
    hem = [trunk(x * wide + sway, -length + 0.008 * (-1) ** i) for i, x in enumerate(
        (1.0, 0.6, 0.2, -0.2, -0.6, -1.0))]  # fmt: skip
    shape = smooth_outline([trunk(-low, 0.035), trunk(low, 0.035), *hem])
    canvas.polygon(shape, cloth, shade(cloth))
    folds = [
        [trunk(x * 0.4 * low, 0.03), trunk(x * wide + sway + 0.012, -length - 0.02),
         trunk(x * wide + sway - 0.012, -length - 0.02)]
        for x in (-0.7, -0.25, 0.25, 0.7)
    ]  # fmt: skip
    canvas.inside(shape, folds, mix(cloth, shade(cloth), 0.3))
    edge = _box(trunk, -1.5 * wide + sway, -length - 0.05, 1.5 * wide + sway, -length + 0.02)
    canvas.inside(shape, [edge], look.accent)


def _draw_pattern(canvas: Canvas, look: Appearance, trunk: Frame, body: list[Point]) -> None:
    """Draws the shirt's pattern in the trunk's frame, so that it moves with the trunk."""
    top, wide = look.trunk, 1.3 * look.shoulders
    patches: list[list[Point]] = []
    if look.pattern == "stripes":
        patches = [_box(trunk, -wide, y, wide, y + 0.016) for y in _range(-0.03, top, 0.036)]
    elif look.pattern == "bands":
        patches = [_box(trunk, x, -0.05, x + 0.014, top + 0.03) for x in _range(-wide, wide, 0.034)]
    elif look.pattern == "diamonds":
        patches = [
            [trunk(x - 0.02, y), trunk(x, y + 0.03), trunk(x + 0.02, y), trunk(x, y - 0.03)]
            for x in (-0.08, -0.04, 0.0, 0.04, 0.08)
            for y in (top * 0.52,)
        ]
    elif look.pattern == "dots":
        patches = [
            _dot(trunk, x + 0.018 * (row % 2), y)
            for row, y in enumerate(_range(0.0, top, 0.032))
            for x in _range(-wide, wide, 0.036)
        ]
    if patches:
        canvas.inside(body, patches, look.accent)
    if look.pattern == "buttons":
        canvas.inside(body, [_box(trunk, -0.003, -0.03, 0.003, top + 0.03)], shade(look.shirt, 0.4))
        for y in _range(0.03, top - 0.03, 0.042):
            canvas.disc(trunk(0.016, y), 0.008, look.accent)


def _draw_scarf(canvas: Canvas, look: Appearance, trunk: Frame, trail: float) -> None:
    color, line = look.accent, shade(look.accent, 0.45)
    top = look.trunk
    swing = max(-0.09, min(0.09, 1.7 * trail))
    ends = [trunk(0.035, top + 0.005), trunk(0.04 + 0.4 * swing, top - 0.055),
            trunk(0.042 + swing, top - 0.115)]  # fmt: skip
    canvas.limb(ends, [0.018, 0.019, 0.022], color, line)
    canvas.line(
        [between(ends[1], ends[2], 0.55), between(ends[1], ends[2], 0.75)],
        0.04,
        mix(color, line, 0.5),
    )
    canvas.limb(
        [trunk(-0.045, top + 0.02), trunk(0, top + 0.008), trunk(0.045, top + 0.02)],
        [0.022, 0.025, 0.022],
        color,
        line,
    )


def _draw_cape(
    canvas: Canvas, look: Appearance, bones: Skeleton, trunk: Frame, trail: float
) -> None:
    color: Color = mix(look.trousers, look.accent, 0.25)
    wide, swing = look.shoulders, max(-0.12, min(0.12, 2.2 * trail))
    low = -look.leg * 0.95
    shape = smooth_outline(
        [
            bones.shoulders[0],
            trunk(0, look.trunk + 0.02),
            bones.shoulders[1],
            trunk(wide * 1.45 + 0.5 * swing, 0.03),
            trunk(wide * 1.75 + swing, low),
            trunk(0.6 * wide + swing, low - 0.02),
            trunk(-0.6 * wide + swing, low + 0.005),
            trunk(-wide * 1.75 + swing, low),
            trunk(-wide * 1.45 + 0.5 * swing, 0.03),
        ]
    )
    canvas.polygon(shape, color, shade(color))


def _box(trunk: Frame, left: float, low: float, right: float, high: float) -> list[Point]:
    return [trunk(left, low), trunk(right, low), trunk(right, high), trunk(left, high)]


def _dot(trunk: Frame, x: float, y: float) -> list[Point]:
    angles = [2 * math.pi * i / 14 for i in range(14)]
    return [trunk(x + 0.0085 * math.cos(a), y + 0.0085 * math.sin(a)) for a in angles]


def _range(start: float, stop: float, step: float) -> list[float]:
    return [start + i * step for i in range(math.ceil((stop - start) / step))]
