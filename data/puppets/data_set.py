"""Writes clips of puppets to disk, in the layout that training reads.

ROOT/train/ and ROOT/test/ have a folder of PNG frames, or an mp4, per clip, named IDENTITY#MOTION,
and ROOT/landmarks/ the points of its parts.
ROOT/puppets.json has the numbers of the config that the clips were drawn for, if there was one.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data.landmarks import landmarks_path
from data.puppets import FRAMES_PER_SECOND, clip_frames, split_identities
from data.puppets.landmarks import clip_landmarks
from tpsm_jax.errors import InputError, writing
from tpsm_jax.media.video_writer import FrameWriter
from tpsm_jax.runtime import ctrl_c

CLIPS_AN_IDENTITY = 2  # id sampling chooses among the clips of one identity
SECTION = "puppets.json"
MAX_COUNT = 10**6  # clips, or frames of a clip
MAX_SIZE = 8192  # pixels of a side


def choose_clips(split: str, count: int) -> list[tuple[int, int]]:
    """(identity, motion) of the first `count` clips of a split. No motion is used twice."""
    first = split_identities(split).start
    return [(first + index // CLIPS_AN_IDENTITY, first + index) for index in range(count)]


def check_numbers(clips: int, frames: int, size: int) -> None:
    """Makes sure that puppets can be drawn.

    Args:
      clips: clips of the training split, or of the only one.
      frames: frames per clip.
      size: side in pixels.

    Raises:
      InputError: a number is too small, or so large that it must be a slip.
    """
    if clips < 1 or frames < 1 or size < 16:
        raise InputError("puppets: clips and frames start at 1, size at 16 pixels")
    if clips > MAX_COUNT or frames > MAX_COUNT or size > MAX_SIZE:
        raise InputError(f"puppets: clips and frames end at {MAX_COUNT}, size at {MAX_SIZE} pixels")


def draw_clips(
    output: Path, splits: Sequence[str], *, clips: int, frames: int, size: int, ending: str = "/"
) -> int:
    """Draws clips into `output`, with a progress bar.

    Args:
      output: folder that gets a folder for each split.
      splits: 'train', 'test' or both; with both, 'test' gets a tenth as many clips.
      clips: number of clips, from 1.
      frames: frames per clip, from 1, at `FRAMES_PER_SECOND`.
      size: side in pixels, from 16.
      ending: ending of a clip's name: '/' for a folder of PNG frames, or a suffix of `FrameWriter`.

    Returns:
      The number of clips drawn.

    Raises:
      InputError: a number is too small or too large, or a clip cannot be written.
    """
    check_numbers(clips, frames, size)
    chosen = []
    for split in splits:
        count = clips if split == splits[0] else max(2, clips // 10)
        chosen += [(split, *clip) for clip in choose_clips(split, count)]
    for split, identity, motion in tqdm(chosen, "drawing", unit="clip"):
        folder = output / split
        folder.mkdir(parents=True, exist_ok=True)
        path = f"{folder}/{identity:07d}#{motion:07d}{ending}"
        with FrameWriter(path, fps=FRAMES_PER_SECOND) as writer:
            for frame in clip_frames(identity, motion, num_frames=frames, size=size):
                writer.write(frame)
        landmarks = landmarks_path(Path(path))
        landmarks.parent.mkdir(parents=True, exist_ok=True)
        with writing(landmarks):
            np.save(landmarks, clip_landmarks(identity, motion, num_frames=frames, size=size))
    return len(chosen)


def draw_data_set(root: Path, *, clips: int, frames: int, size: int) -> None:
    """Draws both splits under a hidden name next to `root`, then renames the folder.

    Several processes may do so at once: all draw the same, and the first to finish wins. If `root`
    exists, nothing is drawn; puppets in it must have been drawn with the same numbers.

    Args:
      root: the folder.
      clips: clips of the training split, from 1.
      frames: frames per clip, from 1.
      size: side in pixels, from 16.

    Raises:
      InputError: a number is too small, nothing can be written there, or it was drawn with other
        numbers.
    """
    section = json.dumps({"clips": clips, "frames": frames, "size": size})
    if root.exists():
        path = root / SECTION
        drawn = path.read_text(errors="replace").strip() if path.is_file() else section
        if drawn != section:
            raise InputError(
                f"{root} holds puppets of {drawn}, and the config says {section}: delete it or "
                "choose another config.dataset.path"
            )
        return
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        drawing = Path(tempfile.mkdtemp(prefix=f".{root.name}.", dir=root.parent))
    except OSError as error:
        raise InputError(f"cannot draw puppets into {root}: {error.strerror}") from None
    with ctrl_c.raising():
        try:
            draw_clips(drawing, ("train", "test"), clips=clips, frames=frames, size=size)
            (drawing / SECTION).write_text(section + "\n")
            drawing.chmod(0o755)  # mkdtemp's folders are for their owner alone
            os.rename(drawing, root)
        except OSError:
            if not root.is_dir():  # otherwise another process was faster
                raise
        finally:
            shutil.rmtree(drawing, ignore_errors=True)
