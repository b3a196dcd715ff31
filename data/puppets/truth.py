"""The truth of an animation: a figure drawn with the motion of another, and its joints.

No filmed data set has it. The source is a figure at the beginning of a motion, the driving clip
another figure's with that motion; the truth is the first figure's.
"""

import functools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from data.puppets import FRAMES_PER_SECOND, clip_frames, drawn_frames, split_identities
from data.puppets.appearance import appearance
from data.puppets.canvas import Point
from data.puppets.landmarks import JOINTS, clip_skeletons, joints_in_pixels
from data.puppets.skeleton import Skeleton
from tpsm_jax.evaluation.clip_frames import EvaluationClip
from tpsm_jax.evaluation.joints import TrueFrame

FRAMES = 50  # of a clip
CLIPS = 20
_LIMBS = np.array([name.endswith(("wrist", "ankle")) for name in JOINTS])
# Half the thickness of what may hide a joint, in short sides of the picture.
_HIDES = 0.035
SEEDS = 100  # each has identities and motions of its own
MOST_CLIPS = 1000


def puppet_clips(count: int, seed: int, size: tuple[int, int]) -> list[EvaluationClip]:
    """Clips of identities and motions that no training has, each driven by itself.

    Args:
      count: how many.
      seed: chooses the identities and motions, from 0 to 99.
      size: (height, width) in pixels.
    """
    numbers = _numbers(count, seed)
    return [
        EvaluationClip(
            f"{source:07d}#{motion:07d}",
            functools.partial(clip_frames, source, motion, num_frames=FRAMES, size=size),
            lambda: float(FRAMES_PER_SECOND),
        )
        for source, _, motion in numbers
    ]


def puppet_pairs(count: int, seed: int, size: tuple[int, int]) -> list[EvaluationClip]:
    """Pairs of figures that no training has, with the truth.

    Args:
      count: how many.
      seed: chooses the identities and motions, from 0 to 99.
      size: (height, width) in pixels.

    Returns:
      Clips named SOURCE--DRIVING#MOTION.
    """
    return [
        EvaluationClip(
            f"{source:07d}--{driving:07d}#{motion:07d}",
            functools.partial(clip_frames, driving, motion, num_frames=FRAMES, size=size),
            lambda: float(FRAMES_PER_SECOND),
            functools.partial(clip_frames, source, motion, num_frames=1, size=size),
            functools.partial(true_frames, source, motion, num_frames=FRAMES, size=size),
        )
        for source, driving, motion in _numbers(count, seed)
    ]


def true_frames(
    identity: int, motion: int, *, num_frames: int, size: tuple[int, int]
) -> Iterator[TrueFrame]:
    """Draws a figure with a motion, and says where its joints are.

    Args:
      identity: the figure's number.
      motion: the motion's number.
      num_frames: how many.
      size: (height, width) in pixels.
    """
    height, width = size
    skirt = appearance(identity).bottom in ("skirt", "dress")
    bones = clip_skeletons(identity, motion, num_frames)
    pixels = joints_in_pixels(bones, size)
    inside = np.all((pixels >= 0) & (pixels <= (width - 1, height - 1)), axis=-1)
    drawn = drawn_frames(identity, motion, num_frames=num_frames, size=size)
    for index, (picture, figure) in enumerate(drawn):
        hidden = hidden_joints(bones[index], skirt=skirt)
        yield TrueFrame(picture, figure, pixels[index], inside[index] & ~hidden, _LIMBS)


def hidden_joints(bones: Skeleton, *, skirt: bool) -> np.ndarray:
    """Which joints are behind what is drawn later: an arm, the other leg or a skirt.

    Args:
      bones: the figure's joints.
      skirt: whether it wears a skirt or a dress, which hides knees.

    Returns:
      [J] bool, in the order of `JOINTS`.
    """
    arms, legs = (
        [((a, b), (b, c)) for a, b, c in zip(*limbs, strict=True)]
        for limbs in (
            (bones.shoulders, bones.elbows, bones.hands),
            (bones.hip_joints, bones.knees, bones.feet),
        )
    )
    both = [*arms[0], *arms[1]]

    def behind(joint: Point, over: Sequence[tuple[Point, Point]]) -> bool:
        return any(_distance(joint, *bone) < _HIDES for bone in over)

    trunk = [behind(joint, both) for joint in (bones.head, bones.chest, bones.hips)]
    left_arm = [behind(joint, arms[1]) for joint in (bones.elbows[0], bones.hands[0])]
    of_legs = []
    for index in (0, 1):
        later = legs[1] if index == 0 else ()
        for name, joint in (("knee", bones.knees[index]), ("ankle", bones.feet[index])):
            covered = behind(joint, [*both, *later])
            of_legs.append(covered or (skirt and name == "knee"))
    return np.array([*trunk, *left_arm, False, False, *of_legs])


def _numbers(count: int, seed: int) -> list[tuple[int, int, int]]:
    """(source, driving, motion) of each clip."""
    numbers = split_identities("test")
    start = numbers.start + len(numbers) // SEEDS * seed
    return [(start + 2 * i, start + 2 * i + 1, start + i) for i in range(count)]


def _distance(point: Point, start: Point, end: Point) -> float:
    """From a point to a segment."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    along = (point[0] - start[0]) * dx + (point[1] - start[1]) * dy
    share = max(0.0, min(1.0, along / (dx * dx + dy * dy)))
    return math.hypot(point[0] - start[0] - share * dx, point[1] - start[1] - share * dy)
