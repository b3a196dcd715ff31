"""The data sets that can be prepared: the source of their clips and their published size."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data.clip import Clip
from data.folder import SPLITS, find_clips, split_folder
from data.notes import check_motion
from data.prepare.boxes import find_boxes
from data.puppets import FRAMES_PER_SECOND, clip_frames
from data.puppets.data_set import check_numbers, choose_clips
from tpsm_jax.errors import InputError
from tpsm_jax.runtime.safe_names import safe_name


@dataclasses.dataclass(frozen=True)
class Kind:
    """A data set that can be prepared.

    Attributes:
      title: its name in messages.
      size: side of its frames in pixels, or None if each clip has its own.
      is_drawn: whether its clips are drawn, not read from a folder.
    """

    title: str
    size: int | None
    is_drawn: bool = False


# Keyed like the configs; tests/unit/data/test_builders.py compares them with TFDS's builders.
KINDS = {
    "vox": Kind("VoxCeleb", 256),
    "taichi": Kind("TaiChiHD", 256),
    "ted": Kind("TED-talks", 384),
    "mgif": Kind("MGif", 256),
    "clips": Kind("any folder of clips", None),
    "puppets": Kind("puppets, drawn here", 256, is_drawn=True),
}


class PuppetClip(Clip):
    """A clip that is drawn when it is read."""

    frame_rate = float(FRAMES_PER_SECOND)

    def __init__(self, identity: int, motion: int, num_frames: int, size: int):
        """Stores what to draw. Takes the arguments of `data.puppets.clip_frames`."""
        super().__init__(Path(f"{identity:07d}#{motion:07d}"))
        self._clip = (identity, motion)
        self._num_frames, self._size = num_frames, size
        self.recipe = f"{num_frames} frames of {size}"  # all that it depends on except its name

    def frames(self) -> Iterator[np.ndarray]:
        return clip_frames(*self._clip, num_frames=self._num_frames, size=self._size)


def find_folder_clips(
    root: Path, boxes: Path | None, frame_shape: tuple[int, int] | None, size: int | None
) -> dict[str, list[Clip]]:
    """The clips of each split of a folder.

    Args:
      root: the folder, as described in `data.folder`; with `boxes`, the folder of the raw videos.
      boxes: a table of boxes, or None.
      frame_shape: (height, width) of frames in wide pictures, or None.
      size: side that frames are resized to, or None.

    Returns:
      The clips of 'train' and 'test', sorted by name, including those that cannot be read.

    Raises:
      InputError: there is no such folder, a split is missing or empty, all of its clips are
        single frames, the table is malformed, or a name cannot be that of a file everywhere.
    """
    if not root.is_dir():
        raise InputError(f"there is no folder of clips {root}: give another --input")
    if boxes is not None:
        return find_boxes(boxes, root)
    image_size = (size, size) if size else (1, 1)  # only its proportions are used
    found = {
        split: find_clips(
            root,
            split,
            image_size=image_size,
            frame_shape=frame_shape,
            allow_empty_folders=True,
        )
        for split in SPLITS
    }
    for split, clips in found.items():
        check_motion(split_folder(root, split), clips)
        for clip in clips:
            safe_name(clip.name, f"a clip in {root}")  # or no reader would take it
    return found


def draw_puppet_clips(clips: int, num_frames: int, size: int) -> dict[str, list[Clip]]:
    """The clips of puppets that `python -m data.puppets` draws with the same numbers.

    Raises:
      InputError: a number is too small or too large.
    """
    check_numbers(clips, num_frames, size)
    counts = {"train": clips, "test": max(2, clips // 10)}
    return {
        split: [PuppetClip(*clip, num_frames, size) for clip in choose_clips(split, count)]
        for split, count in counts.items()
    }
