"""A whole clip through an `Animator`, from a reader to a writer, with progress on stderr."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
from tqdm import tqdm

from tpsm_jax.animation.animator import Animator
from tpsm_jax.media.proportions import SqueezeWarning
from tpsm_jax.media.video_reader import FrameSource
from tpsm_jax.media.video_writer import FrameWriter


def animate_clip(
    animator: Animator,
    driving: FrameSource,
    writer: FrameWriter,
    *,
    find_best_frame: bool = False,
    source_shape: tuple[int, ...] | None = None,
    compose: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    start: float | None = None,
) -> str:
    """Writes a frame of the source for every driving frame.

    Args:
      animator: holds the source.
      driving: the driving clip.
      writer: gets the frames.
      find_best_frame: in mode 'relative', measure motion from the driving frame most like the
        source instead of from the first.
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
    if find_best_frame and animator.mode != "relative":
        print(f"the best frame makes no difference to mode {animator.mode}; not looked for")
    elif find_best_frame:
        best = animator.find_best_frame(
            tqdm(driving, "looking for the best frame", driving.frame_count, unit="frame")
        )
        print(f"best frame: {best.number}")
        initial = best.keypoints
    times: deque[float] = deque()
    seen: deque[np.ndarray] = deque()

    def read() -> Iterator[np.ndarray]:
        shapes = {} if source_shape is None else {"the source": source_shape}
        for number, (seconds, frame) in enumerate(driving.timed()):
            if number == 0:
                SqueezeWarning()(
                    {**shapes, "the driving frames": frame.shape},
                    animator.size,
                    {"the driving frames": driving.pixel_aspect},
                )
            times.append(seconds)  # the result's frames have them too
            if compose is not None:
                seen.append(frame.copy())  # a reader may reuse its buffer
            yield frame

    first, count = start, 0
    frames = animator.animate(read(), kp_driving_initial=initial)
    for count, frame in enumerate(tqdm(frames, "animating", driving.frame_count, unit="frame"), 1):
        if count == 1:
            first = time.perf_counter()
        made = frame if compose is None else compose(frame, seen.popleft())
        writer.write(made, times.popleft())
    if driving.frame_count and count < 0.9 * driving.frame_count:
        print(
            f"warning: {driving.path} announces {driving.frame_count} frames and gave {count}: "
            "is it cut short?",
            file=sys.stderr,
        )
    rest = f", then {(count - 1) / (time.perf_counter() - first):.2f} frames/s" * (count > 1)
    return f"{count} frame{'s' * (count > 1)}, the first after {first - start:.2f} s{rest}"
