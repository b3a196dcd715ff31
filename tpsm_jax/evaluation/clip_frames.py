"""What is evaluated: clips that are read as streams, and how one that cannot be read is told."""

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from tpsm_jax.errors import InputError
from tpsm_jax.media.video_reader import DEFAULT_FPS


class EvaluationClip(NamedTuple):
    """A clip, or a pair of two.

    Attributes:
      name: unique; also of the files that are written.
      frames: opens the driving clip, and gives [H, W, 3] uint8 frames one after the other.
      frame_rate: finds the frames a second, of the videos that are written.
      source: opens the clip whose first frame is the source, where that is another one.
    """

    name: str
    frames: Callable[[], Iterator[np.ndarray]]
    frame_rate: Callable[[], float] = lambda: DEFAULT_FPS
    source: Callable[[], Iterator[np.ndarray]] | None = None


class BrokenClipError(InputError):
    """A clip that cannot be read, or not to its end."""


class FrameSizeError(InputError):
    """A clip whose frames are not of the size that the checkpoint was trained at."""


def checked_frames(
    frames: Callable[[], Iterator[np.ndarray]], name: str, size: tuple[int, int]
) -> Generator[np.ndarray]:
    """The frames of a clip.

    Args:
      frames: opens the clip.
      name: of the clip.
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
    """Reads one frame of each clip, so that a wrong size is told before hours of work.

    What cannot be read passes: it is left out when its turn comes.

    Args:
      clips: to be looked at.
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

    # For videos this mostly waits for ffmpeg to start.
    with ThreadPoolExecutor() as pool:
        found = pool.map(check, clips)
        for _ in tqdm(found, "first frames", total=len(clips), unit="clip", leave=False):
            pass
