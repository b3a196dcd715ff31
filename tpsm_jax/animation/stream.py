"""A whole clip through an `Animator`, from a reader to a writer, with progress on stderr."""

import itertools
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from tpsm_jax.animation.animator import Animator
from tpsm_jax.animation.framing import Compose
from tpsm_jax.animation.keypoints import BestFrame
from tpsm_jax.animation.motion import Motion
from tpsm_jax.errors import InputError
from tpsm_jax.media.proportions import SqueezeWarning
from tpsm_jax.media.video_reader import FrameSource, TimedFrames
from tpsm_jax.media.video_writer import FrameWriter
from tpsm_jax.models.interface import Pose

_NOTHING: Any = object()
_BLANK = 8.0  # standard deviation, of 255: black with the noise of a camera has less


def animate_clip(
    animator: Animator,
    driving: FrameSource,
    writer: FrameWriter,
    *,
    find_best_frame: bool = False,
    motion_scale: float = 1.0,
    source_shape: tuple[int, ...] | None = None,
    compose: Compose | None = None,
    start: float | None = None,
) -> str:
    """Writes a frame of the source for every driving frame.

    Args:
      animator: holds the source.
      driving: the driving clip.
      writer: gets the frames.
      find_best_frame: in mode 'relative', measure motion from the driving frame most like the
        source instead of from the first.
      motion_scale: see `Animator.animate`.
      source_shape: (height, width, ...) of the source before it was resized. If it or the driving
        frames lose their proportions, a line on stderr says so.
      compose: makes of each result and its driving frame what is written, see
        `tpsm_jax.animation.framing.composition`.
      start: `time.perf_counter()` when the first frame began to be waited for; now if None.

    Returns:
      How many frames there were and how long they took, for people to read.

    Raises:
      InputError: see `Animator.animate`, `open_video` and `FrameWriter.write`.
    """
    start = time.perf_counter() if start is None else start
    initial = None
    if _looks_for_best_frame(animator, find_best_frame):
        looked = tqdm(driving, "looking for the best frame", driving.frame_count, unit="frame")
        initial = _printed(animator.find_best_frame(looked))
    shown: deque[tuple[float, np.ndarray | None]] = deque()

    def read() -> Iterator[np.ndarray]:
        from_first = animator.mode == "relative" and initial is None
        for seconds, frame in _checked(driving, animator, source_shape, from_first):
            # A copy, because a reader may reuse its buffer.
            shown.append((seconds, None if compose is None else frame.copy()))
            yield frame

    frames = animator.animate(read(), kp_driving_initial=initial, motion_scale=motion_scale)
    made = ((frame, *shown.popleft()) for frame in frames)
    count, summary = _write(made, driving.frame_count, writer, compose, start)
    _warn_if_cut_short(driving, count)
    return summary


def find_motion(
    animator: Animator,
    driving: FrameSource,
    *,
    source_shape: tuple[int, ...] | None = None,
    find_best_frame: bool = False,
) -> Motion:
    """Finds the poses of a whole clip.

    Args:
      animator: whose detector finds them.
      driving: the clip.
      source_shape: as for `animate_clip`.
      find_best_frame: whether the best frame will be looked for in it.

    Raises:
      InputError: see `open_video` and `Animator.find_poses`.
    """
    times: list[float] = []

    def read() -> Iterator[np.ndarray]:
        from_first = animator.mode == "relative" and not find_best_frame
        for seconds, frame in _checked(driving, animator, source_shape, from_first):
            times.append(seconds)
            yield frame

    poses = list(
        tqdm(animator.find_poses(read()), "finding the motion", driving.frame_count, unit="frame")
    )
    _warn_if_cut_short(driving, len(poses))
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *poses)
    return Motion(stacked, np.array(times, np.float64), driving.fps)


def animate_motion(
    animator: Animator,
    motion: Motion,
    writer: FrameWriter,
    *,
    driving: FrameSource | None = None,
    find_best_frame: bool = False,
    motion_scale: float = 1.0,
    compose: Compose | None = None,
    start: float | None = None,
) -> str:
    """Writes a frame of the source for every pose of a motion.

    Args:
      animator: holds the source.
      motion: the motion.
      writer: gets the frames.
      driving: the clip that the motion was found in, to be shown beside the result; None if there
        is none to show.
      find_best_frame: as for `animate_clip`.
      motion_scale: as for `animate_clip`.
      compose: as for `animate_clip`; gets None for a driving frame where there is no clip.
      start: as for `animate_clip`.

    Returns:
      As `animate_clip`.

    Raises:
      InputError: see `Animator.animate_poses` and `FrameWriter.write`.
    """
    start = time.perf_counter() if start is None else start
    initial: Pose | None = None
    if _looks_for_best_frame(animator, find_best_frame):
        initial = _printed(animator.best_pose(motion))
    frames = animator.animate_poses(motion, kp_driving_initial=initial, motion_scale=motion_scale)
    shown: Iterable[np.ndarray | None] = itertools.repeat(None) if driving is None else driving
    made = _shown(frames, motion.times.tolist(), shown)
    return _write(made, len(motion.times), writer, compose, start)[1]


def _looks_for_best_frame(animator: Animator, asked: bool) -> bool:
    if asked and animator.mode != "relative":
        print(f"the best frame makes no difference to mode {animator.mode}; not looked for")
    return asked and animator.mode == "relative"


def _printed(best: BestFrame) -> Pose:
    print(f"best frame: {best.number}")
    return best.keypoints


def _checked(
    driving: FrameSource,
    animator: Animator,
    source_shape: tuple[int, ...] | None,
    is_measured_from_first: bool,
) -> TimedFrames:
    """A clip's frames with their times; warns of lost proportions and of a blank beginning."""
    shapes = {} if source_shape is None else {"the source": source_shape}
    for number, (seconds, frame) in enumerate(driving.timed()):
        if number == 0:
            SqueezeWarning()(
                {**shapes, "the driving frames": frame.shape},
                animator.size,
                {"the driving frames": driving.pixel_aspect},
            )
            if is_measured_from_first and frame.std() < _BLANK:
                tqdm.write(
                    "warning: the driving clip begins with a blank frame, and motion is measured "
                    "from it: --find_best_frame measures from the frame most like the source",
                    file=sys.stderr,
                )
        yield seconds, frame


def _warn_if_cut_short(driving: FrameSource, count: int) -> None:
    if driving.frame_count and count < 0.9 * driving.frame_count:
        print(
            f"warning: {driving.path} announces {driving.frame_count} frames and gave {count}: "
            "is it cut short?",
            file=sys.stderr,
        )


def _shown(
    frames: Iterable[np.ndarray], times: Iterable[float], driving: Iterable[np.ndarray | None]
) -> Iterator[tuple[np.ndarray, float, np.ndarray | None]]:
    pictures = iter(driving)
    for frame, seconds in zip(frames, times, strict=True):
        if (picture := next(pictures, _NOTHING)) is _NOTHING:
            raise InputError("the driving clip has fewer frames than when it was read before")
        yield frame, seconds, picture


def _write(
    made: Iterable[tuple[np.ndarray, float, np.ndarray | None]],
    total: int | None,
    writer: FrameWriter,
    compose: Compose | None,
    start: float,
) -> tuple[int, str]:
    """Writes frames, each with its time and its driving frame; returns their number, and a line."""
    first, count = start, 0
    for count, (frame, seconds, driving) in enumerate(
        tqdm(made, "animating", total, unit="frame"), 1
    ):
        if count == 1:
            first = time.perf_counter()
        writer.write(frame if compose is None else compose(frame, driving), seconds)
    rest = f", then {(count - 1) / (time.perf_counter() - first):.2f} frames/s" * (count > 1)
    return count, f"{count} frame{'s' * (count > 1)}, the first after {first - start:.2f} s{rest}"
