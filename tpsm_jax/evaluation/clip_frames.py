"""Clips to evaluate, read as streams, and the errors of those that cannot be read."""

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from tpsm_jax.errors import InputError
from tpsm_jax.evaluation.joints import TrueFrame
from tpsm_jax.media.container import DEFAULT_FPS


class EvaluationClip(NamedTuple):
    """A clip that drives itself, or a pair: a driving clip and another clip's first frame.

    Attributes:
      name: unique; the files that are written have it too.
      frames: opens the driving clip and yields [H, W, 3] uint8 frames.
      frame_rate: returns the frames a second, for the videos that are written.
      source: opens the clip whose first frame is the source; None if that is the driving clip.
      truth: opens what the results should be, where another clip drives and that is known.
    """

    name: str
    frames: Callable[[], Iterator[np.ndarray]]
    frame_rate: Callable[[], float] = lambda: DEFAULT_FPS
    source: Callable[[], Iterator[np.ndarray]] | None = None
    truth: Callable[[], Iterator[TrueFrame]] | None = None


class BrokenClipError(InputError):
    """A clip that cannot be read, or not to its end."""


class FrameSizeError(InputError):
    """A clip whose frames are not of the size that the checkpoint was trained at."""


def checked_frames(
    frames: Callable[[], Iterator[np.ndarray]], name: str, size: tuple[int, int]
) -> Generator[np.ndarray]:
    """Checks the frames of a clip as they are read.

    Args:
      frames: opens the clip.
      name: the clip's name.
      size: (height, width) that the frames must have.

    Yields:
      [height, width, 3] uint8.

    Raises:
      BrokenClipError: they cannot be read, or there is none.
      FrameSizeError: one has another size.
    """
    count = 0
    try:
        for frame in frames():
            if frame.shape[:2] != size:
                height, width = frame.shape[:2]
                raise FrameSizeError(
                    f"frame {count} of the clip {name} is {width} x {height} pixels and the "
                    f"checkpoint takes {size[1]} x {size[0]}: --resize resizes all of them (and "
                    "needs a new --output if this one has results already)"
                )
            yield frame
            count += 1
    except FrameSizeError:
        raise
    except InputError as error:
        raise BrokenClipError(str(error)) from error
    if not count:
        raise BrokenClipError(f"the clip {name} has no frame")


def check_first_frames(clips: Sequence[EvaluationClip], size: tuple[int, int]) -> None:
    """Reads one frame of each clip, so that a wrong size is reported before hours of work.

    Clips that cannot be read pass: they are left out when their turn comes.

    Args:
      clips: the clips to check.
      size: (height, width) that the frames must have.

    Raises:
      FrameSizeError: one has another size.
    """

    def check(clip: EvaluationClip) -> None:
        for opens in (clip.frames, clip.source):
            if opens is not None:
                frames = checked_frames(opens, clip.name, size)
                with contextlib.suppress(BrokenClipError), contextlib.closing(frames):
                    next(frames)

    # Decoders let go of Python's lock, and a network disk is waited for.
    with ThreadPoolExecutor() as pool:
        found = pool.map(check, clips)
        for _ in tqdm(found, "first frames", total=len(clips), unit="clip", leave=False):
            pass
