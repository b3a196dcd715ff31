"""Where the parts of a puppet are: five points on each, as the control points of a spline.

A limb's points are the corners of a box around it and its middle, so that they move, turn and
stretch with it and never lie on one line. Four more points move with the background.
"""

import math
from collections.abc import Sequence

import numpy as np

from data.puppets.appearance import Appearance, appearance
from data.puppets.background import seen_at
from data.puppets.canvas import Point, along, between
from data.puppets.motion import clip_poses
from data.puppets.skeleton import Skeleton, skeleton

PARTS = (
    *("head", "trunk", "left upper arm", "left forearm", "right upper arm", "right forearm"),
    *("left thigh", "left shin", "right thigh", "right shin"),
)
JOINTS = (
    *("head", "chest", "hips", "left elbow", "left wrist", "right elbow", "right wrist"),
    *("left knee", "left ankle", "right knee", "right ankle"),
)
_HALF_WIDTH = 0.05  # of the box around a limb, in short sides of the picture
# Points fixed to the background, from the scene's middle, in short sides of the picture.
SCENE = np.array([(-0.4, -0.4), (0.4, -0.4), (-0.4, 0.4), (0.4, 0.4)])


def clip_landmarks(
    identity: int, motion: int, *, num_frames: int, size: int | tuple[int, int]
) -> np.ndarray:
    """The points of all parts and of the background in each frame that `draw_clip` draws.

    Args:
      identity: the figure's number.
      motion: the movement's number.
      num_frames: length of the clip.
      size: side in pixels, or (height, width).

    Returns:
      [num_frames, 54, 2] float32: (x, y) in [-1, 1] from the first pixel's middle to the last
      one's, beyond it outside the picture. Part i of `PARTS` has points 5i to 5i+4; points 50 to
      53 are fixed to the background.
    """
    look = appearance(identity)
    bones = clip_skeletons(identity, motion, num_frames)
    height, width = (size, size) if isinstance(size, int) else size
    parts = _in_pixels([_parts(look, each) for each in bones], height, width)
    cameras = [pose.camera for pose in clip_poses(motion, num_frames)]
    scene = np.array([[seen_at(point, camera) for point in SCENE] for camera in cameras])
    scene = scene * min(height, width) + (width / 2, height / 2) - 0.5
    pixels = np.concatenate([parts, scene], axis=1)
    return (2 * pixels / (width - 1, height - 1) - 1).astype(np.float32)


def clip_skeletons(identity: int, motion: int, num_frames: int) -> list[Skeleton]:
    """The bones in each frame of the clip that `draw_clip` draws."""
    look = appearance(identity)
    return [skeleton(look, pose) for pose in clip_poses(motion, num_frames)]


def joints_in_pixels(bones: Sequence[Skeleton], size: tuple[int, int]) -> np.ndarray:
    """Where joints are in a picture.

    Args:
      bones: T skeletons.
      size: (height, width) of the pictures.

    Returns:
      [T, 11, 2] float32, (x, y) from the first pixel's middle, in the order of `JOINTS`.
    """
    return _in_pixels([_joints(each) for each in bones], *size).astype(np.float32)


def _joints(bones: Skeleton) -> list[Point]:
    pairs = zip(bones.elbows, bones.hands, strict=True), zip(bones.knees, bones.feet, strict=True)
    limbs = [joint for pair in pairs for limb in pair for joint in limb]
    return [bones.head, bones.chest, bones.hips, *limbs]


def _parts(look: Appearance, bones: Skeleton) -> list[Point]:
    lean, tilt = math.pi - bones.lean, math.pi - bones.head_angle
    parts = [
        _box(along(bones.head, tilt, -look.head), along(bones.head, tilt, look.head), look.head),
        _box(bones.hips, along(bones.hips, lean, look.trunk), 1.2 * look.shoulders),
    ]
    for shoulder, elbow, hand in zip(bones.shoulders, bones.elbows, bones.hands, strict=True):
        parts += [_box(shoulder, elbow), _box(elbow, hand)]
    for joint, knee, foot in zip(bones.hip_joints, bones.knees, bones.feet, strict=True):
        parts += [_box(joint, knee), _box(knee, foot)]
    return [point for part in parts for point in part]


def _box(start: Point, end: Point, half_width: float = _HALF_WIDTH) -> list[Point]:
    """The corners of a box from `start` to `end`, and its middle."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy)
    nx, ny = -dy / length * half_width, dx / length * half_width
    corners = [(x + side * nx, y + side * ny) for x, y in (start, end) for side in (-1, 1)]
    return [*corners[:2], between(start, end, 0.5), *corners[2:]]


def _in_pixels(frames: list[list[Point]], height: int, width: int) -> np.ndarray:
    """Points in the canvas's units -> pixels from the first pixel's middle."""
    short = min(height, width)
    return np.array(frames, np.float64) * short + (width / 2, height - short) - 0.5
