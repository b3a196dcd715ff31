"""The clips of a folder, and which of their frames are which."""

from pathlib import Path

from data.clip import Clip
from data.folder import find_clips
from tests.helpers.clip_files import SIZE, label

JUST_BELOW_ONE = 1 - 2.0**-53


def find(root: Path, split: str = "train", frame_shape: tuple | None = None) -> list[Clip]:
    return find_clips(root, split, image_size=(SIZE, SIZE), frame_shape=frame_shape)


def names(clips: list[Clip]) -> list[str]:
    return [clip.name for clip in clips]


def only(root: Path, **more: tuple) -> Clip:
    """The one training clip of a root."""
    (root / "test").mkdir()
    (clip,) = find(root, **more)
    return clip


def labels(clip: Clip) -> list[tuple[int, int]]:
    return [label(picture) for picture in clip.frames()]
