"""A source and a driving clip cropped for an `Animator`, and its frames composed for people."""

import itertools
import sys
from collections.abc import Callable
from contextlib import closing

import numpy as np

from tpsm_jax.animation.animator import Animator
from tpsm_jax.errors import InputError
from tpsm_jax.framing.boxes import Box, crop
from tpsm_jax.framing.choice import Choice, Crop, Look, choose_box, spread
from tpsm_jax.framing.panels import side_by_side, widened
from tpsm_jax.framing.paste import Paster
from tpsm_jax.framing.subject import opaque_region
from tpsm_jax.media.proportions import is_squeezed
from tpsm_jax.media.video_reader import FrameSource

# (result, driving frame or None) -> the frame to write.
Compose = Callable[[np.ndarray, np.ndarray | None], np.ndarray]


def framed_source(
    animator: Animator, picture: np.ndarray, choice: Crop, *, alpha: np.ndarray | None = None
) -> tuple[Animator, Box | None]:
    """An animator of a part of a picture; prints which part.

    Args:
      animator: of any source.
      picture: [H, W, 3] uint8.
      choice: how to crop it.
      alpha: [H, W] uint8, how opaque it is.

    Returns:
      The animator, and the box that it animates, None for the whole picture.

    Raises:
      InputError: see `choose_box`.
    """
    opaque = None if alpha is None else opaque_region(alpha)
    look = Look("the source", "--crop", animator.size, animator.find_points, opaque=opaque)
    box = _printed(choose_box([picture], choice, look))
    return animator.of(picture if box is None else np.ascontiguousarray(crop(picture, box))), box


def framed_clip(animator: Animator, driving: FrameSource, choice: Crop) -> FrameSource:
    """A clip cropped to one fixed box, because motion is measured within it; prints which.

    Args:
      animator: whose size and detector decide.
      driving: the clip; where what is in it decides, it is read once.
      choice: how to crop it.

    Raises:
      InputError: see `choose_box`; also while the clip is read, if its frames change their size.
    """
    look = Look(
        "the driving clip",
        "--crop_driving",
        animator.size,
        animator.find_points,
        pixel_aspect=driving.pixel_aspect,
    )
    with closing(iter(driving)) as frames:  # type: ignore[type-var]  # a generator
        first = next(frames)
        squeezed = is_squeezed(first.shape, animator.size, driving.pixel_aspect)
        is_read = choice.way in ("face", "subject") or choice.way == "auto" and squeezed
        pictures = spread(itertools.chain([first], frames)) if is_read else [first]
    shape = pictures[0].shape
    box = _printed(choose_box([each for each in pictures if each.shape == shape], choice, look))
    if box is None:
        return driving

    def cropped(frame: np.ndarray) -> np.ndarray:
        if frame.shape != shape:
            raise InputError(
                f"the frames of {driving.path} change their size from {shape[1]} x {shape[0]} to "
                f"{frame.shape[1]} x {frame.shape[0]}: --crop_driving none takes them as they are"
            )
        return crop(frame, box)

    return driving.changed(cropped)


def composition(
    picture: np.ndarray,
    box: Box | None,
    *,
    paste_back: bool,
    panels: bool,
    pixel_aspect: float = 1.0,
) -> Compose | None:
    """What becomes of a result before it is written.

    Args:
      picture: the whole source picture, [H, W, 3] uint8.
      box: the part that is animated.
      paste_back: paste the result back into the picture.
      panels: show source, driving frame and result side by side.
      pixel_aspect: the width of a driving frame's pixel over its height.

    Returns:
      (result, driving frame or None where there is none) -> the frame to write; None to write the
      result. Driving frames that change their size raise `InputError`.
    """
    whole = Box(0, 0, picture.shape[1], picture.shape[0])
    paste = Paster(picture, box or whole) if paste_back else None
    source = picture if paste_back or box is None else crop(picture, box)
    first: tuple[int, ...] = ()

    def compose(result: np.ndarray, driving: np.ndarray | None) -> np.ndarray:
        nonlocal first
        made = result if paste is None else paste(result)
        if not panels:
            return made
        if driving is None:
            return side_by_side([source, made])
        first = first or driving.shape
        if driving.shape != first:
            raise InputError(
                "the driving frames change their size, and frames of a video do not: leave out "
                "--side_by_side"
            )
        return side_by_side([source, widened(driving, pixel_aspect), made])

    return compose if paste_back or panels else None


def _printed(choice: Choice) -> Box | None:
    for line in choice.notes:
        print(line, file=sys.stderr)
    return choice.box
