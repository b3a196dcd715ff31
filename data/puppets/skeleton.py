"""Computes the joints of a pose: arms from their angles, legs from the place of the feet."""

import math
from dataclasses import dataclass

from data.puppets.appearance import Appearance
from data.puppets.canvas import Point, along
from data.puppets.motion import Pose

FLOOR = 0.93
_KNEE_OUTWARDS = 0.5  # share of a knee's bend that points sideways


@dataclass(frozen=True)
class Skeleton:
    """Joints in the canvas's units. Pairs are (left, right) in the picture."""

    hips: Point
    chest: Point  # middle of the shoulders
    lean: float
    head: Point  # center
    head_angle: float
    shoulders: tuple[Point, Point]
    elbows: tuple[Point, Point]
    hands: tuple[Point, Point]
    hip_joints: tuple[Point, Point]
    knees: tuple[Point, Point]
    feet: tuple[Point, Point]  # ankles


def skeleton(look: Appearance, pose: Pose) -> Skeleton:
    """Computes the place of every joint.

    Args:
      look: the build.
      pose: angles and offsets at one moment.

    Returns:
      The joints. Arms have the build's lengths; bent legs look shorter.
    """
    standing = FLOOR - 0.035 - 1.96 * look.leg
    hips = (pose.place + pose.sway, standing + pose.dip - pose.jump)
    chest = along(hips, math.pi - pose.lean, look.trunk)
    head_angle = 0.5 * pose.lean + pose.tilt
    neck = along(chest, math.pi - pose.lean, 0.02)
    head = along(neck, math.pi - head_angle, 0.92 * look.head)
    across = (math.cos(pose.lean), math.sin(pose.lean))
    shoulders, elbows, hands, joints, knees, feet = [], [], [], [], [], []
    for index, side in enumerate((-1, 1)):
        shoulder = (
            chest[0] + side * look.shoulders * across[0],
            chest[1] + side * look.shoulders * across[1] + 0.022,
        )
        arm = side * pose.arms[index] - 0.5 * pose.lean
        elbow = along(shoulder, arm, look.arm)
        shoulders.append(shoulder)
        elbows.append(elbow)
        hands.append(along(elbow, arm + side * pose.elbows[index], look.arm))
        joint = (hips[0] + side * 0.62 * look.hips, hips[1] + 0.01)
        foot = (
            pose.place + side * (0.55 * look.hips + pose.step_out[index]),
            FLOOR - 0.035 - pose.step_up[index] - pose.jump,
        )
        knee, foot = _bend(joint, foot, look.leg, side)
        joints.append(joint)
        knees.append(knee)
        feet.append(foot)
    return Skeleton(
        hips=hips,
        chest=chest,
        lean=pose.lean,
        head=head,
        head_angle=head_angle,
        shoulders=tuple(shoulders),  # type: ignore[arg-type]
        elbows=tuple(elbows),  # type: ignore[arg-type]
        hands=tuple(hands),  # type: ignore[arg-type]
        hip_joints=tuple(joints),  # type: ignore[arg-type]
        knees=tuple(knees),  # type: ignore[arg-type]
        feet=tuple(feet),  # type: ignore[arg-type]
    )


def _bend(joint: Point, foot: Point, length: float, side: int) -> tuple[Point, Point]:
    """The knee of a leg from `joint` to `foot`, bent outward, and the nearest foot in reach."""
    dx, dy = foot[0] - joint[0], foot[1] - joint[1]
    distance = math.hypot(dx, dy)
    reach = min(distance, 1.999 * length)
    dx, dy = dx / distance * reach, dy / distance * reach
    # The knee is halfway to the foot, and aside by what the thigh's length leaves. Most of that is
    # toward the viewer, so only a share of it is drawn.
    aside = -side * _KNEE_OUTWARDS * math.sqrt(length**2 - (reach / 2) ** 2) / reach
    knee = (joint[0] + dx / 2 - dy * aside, joint[1] + dy / 2 + dx * aside)
    return knee, (joint[0] + dx, joint[1] + dy)
