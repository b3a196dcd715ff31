"""Clips of articulated cartoon figures, each drawn from an identity and a motion number.

Nothing is downloaded. The two splits share no identity: training has the numbers from 0, testing
those from `FIRST_TEST_IDENTITY`. A figure keeps its looks and its scene in every clip, and a
movement is the same for every figure.

  from data.puppets import draw_clip
  frames = draw_clip(identity=7, motion=3, num_frames=50, size=256)   # [50, 256, 256, 3] uint8
"""

from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image

from data.puppets.appearance import appearance
from data.puppets.background import draw_background, view
from data.puppets.canvas import Canvas
from data.puppets.figure import draw_figure
from data.puppets.motion import FRAMES_PER_SECOND, Pose, clip_poses

__all__ = [
    "FIRST_TEST_IDENTITY",
    "FRAMES_PER_SECOND",
    "clip_frames",
    "draw_clip",
    "draw_poses",
    "drawn_frames",
    "split_identities",
]

FIRST_TEST_IDENTITY = 1_000_000


def split_identities(split: str) -> range:
    """The identities of a split.

    Args:
      split: 'train' or 'test'.

    Returns:
      A range of whole numbers; the two ranges do not overlap.

    Raises:
      ValueError: `split` is another word.
    """
    if split == "train":
        return range(FIRST_TEST_IDENTITY)
    if split == "test":
        return range(FIRST_TEST_IDENTITY, 2 * FIRST_TEST_IDENTITY)
    raise ValueError(f"split is 'train' or 'test', not {split!r}")


def clip_frames(
    identity: int, motion: int, *, num_frames: int, size: int | tuple[int, int]
) -> Iterator[np.ndarray]:
    """Draws a clip frame by frame.

    Args:
      identity: whole number from 0 up; decides the figure and the scene.
      motion: whole number from 0 up; decides how figure and camera move.
      num_frames: length, at `FRAMES_PER_SECOND`. A longer clip begins like a shorter one.
      size: side in pixels, or (height, width); at least 16.

    Yields:
      [H, W, 3] uint8, RGB.

    Raises:
      ValueError: a number is negative, or a side is below 16.
    """
    frames = drawn_frames(identity, motion, num_frames=num_frames, size=size)
    return (picture for picture, _ in frames)


def drawn_frames(
    identity: int, motion: int, *, num_frames: int, size: int | tuple[int, int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draws a clip and the outline of its figure. Takes the arguments of `clip_frames`.

    Yields:
      [H, W, 3] uint8, RGB; and [H, W] bool, which pixels show the figure.

    Raises:
      ValueError: a number is negative, or a side is below 16.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if identity < 0 or motion < 0 or num_frames < 0:
        raise ValueError("identity, motion and num_frames are whole numbers from 0 up")
    if min(height, width) < 16:
        raise ValueError(f"a puppet needs at least 16 x 16 pixels, not {height} x {width}")
    return draw_poses(identity, clip_poses(motion, num_frames), height, width)


def draw_clip(
    identity: int, motion: int, *, num_frames: int, size: int | tuple[int, int]
) -> np.ndarray:
    """Draws a whole clip. Takes the arguments of `clip_frames`.

    Returns:
      [num_frames, H, W, 3] uint8, RGB.
    """
    height, width = (size, size) if isinstance(size, int) else size
    frames = list(clip_frames(identity, motion, num_frames=num_frames, size=size))
    return np.stack(frames) if frames else np.zeros((0, height, width, 3), np.uint8)


def draw_poses(
    identity: int, poses: Iterable[Pose], height: int, width: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draws a figure in poses of any kind.

    Args:
      identity: the figure's number.
      poses: its poses, one for each frame.
      height: the pictures' height in pixels, at least 16.
      width: their width.

    Yields:
      As `drawn_frames`.
    """
    look = appearance(identity)
    scene = draw_background(identity, height, width)
    for pose in poses:
        canvas = Canvas(height, width)
        draw_figure(canvas, look, pose)
        frame = view(scene, height, width, pose.camera).convert("RGBA")
        figure = canvas.picture()
        picture = np.asarray(Image.alpha_composite(frame, figure).convert("RGB"))
        yield picture, np.asarray(figure)[..., 3] > 127
