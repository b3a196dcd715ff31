"""Finds the clips of a folder.

The folder has train/ and test/, or neither; for an evaluation test/ alone is enough. Each entry
there is one clip:
  - a folder of frames, in natural order (9.png before 10.png); its own name may end in .mp4;
  - a video or an animated picture;
  - one wide picture, .png or .jpg, of frames next to each other.
`VIDEO_SUFFIXES` and `PICTURE_SUFFIXES` list the names that count. Hidden entries (.DS_Store) are
skipped. Files of other kinds (a README, a list of boxes) are passed over, see `data.notes`. Links
are followed; a link to nothing is an error.

Clips are in plain order of their names. It means nothing, but what a seed draws depends on it.
"""

import hashlib
import math
import os
from collections.abc import Sequence
from pathlib import Path

from data.clip import Clip
from data.clips import FolderClip, open_clip
from data.wide_pictures import WidePictures
from tpsm_jax.errors import InputError

SPLITS = ("train", "test")
TEST_SHARE = 0.2  # share of test clips in a folder without train/ and test/


def find_clips(
    root: Path,
    split: str,
    *,
    image_size: tuple[int, int],
    frame_shape: Sequence[int] | None = None,
    allow_empty_folders: bool = False,
    any_height: bool = False,
) -> list[Clip]:
    """The clips of a split, sorted by name.

    A folder without train/ and test/ is split by a digest of the names, one clip in five for
    testing: always the same ones, in whatever order the folder is listed. (The reference draws
    them with scikit-learn from the operating system's order, which differs from disk to disk.)

    Args:
      root: the folder.
      split: 'train' or 'test'.
      image_size: (height, width) that frames are resized to later.
      frame_shape: (height, width, ...) of the frames of wide pictures, or None for frames of the
        picture's height, in the proportions of `image_size`.
      allow_empty_folders: whether a folder of frames without a picture, or a link to nothing, is a
        clip that cannot be read. Otherwise it is an error.
      any_height: whether only the proportions of `frame_shape` count.

    Returns:
      At least one clip.

    Raises:
      InputError: there is no such folder, only one of train/ and test/ (test/ alone is enough for
        'test'), no clip, a folder of frames without a picture, or a link to nothing.
      ValueError: `split` is another word.
    """
    if split not in SPLITS:
        raise ValueError(f"split is 'train' or 'test', not {split!r}")
    if not root.is_dir():
        raise InputError(f"there is no folder of clips {str(root)!r}")
    folder = split_folder(root, split)
    size = image_size if frame_shape is None else (frame_shape[0], frame_shape[1])
    wide_pictures = WidePictures(size, frame_shape is not None and not any_height)

    found = (
        _open(path, wide_pictures, allow_empty_folders)
        for path in sorted(_entries(folder), key=lambda path: path.name)
    )
    clips = [clip for clip in found if clip is not None]
    if not clips:
        raise InputError(f"{folder} holds no clip: folders of frames, videos, or wide pictures")
    return _random_part(clips, split, root) if folder == root else clips


def split_folder(root: Path, split: str) -> Path:
    """The folder whose entries are the clips of a split: one of its own, or the root.

    Raises:
      InputError: there is only one of train/ and test/; test/ alone is enough for 'test'.
    """
    present = [name for name in SPLITS if (root / name).is_dir()]
    if len(present) == 1 and not present == [split] == ["test"]:
        missing = next(name for name in SPLITS if name not in present)
        raise InputError(
            f"{root} has {present[0]}/ but no {missing}/: have both, or neither for a random split"
        )
    return root / split if present else root


def split_note(root: Path) -> str:
    """A warning about a folder whose test clips are chosen by `find_clips`; "" for any other."""
    if not root.is_dir() or any((root / split).is_dir() for split in SPLITS):
        return ""
    return (
        f"{root} has neither train/ nor test/: of its clips only the one in five is evaluated that "
        "training leaves out; for all of them have a folder test/"
    )


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise InputError(f"cannot read the folder {folder}: {error.strerror}") from None


def _open(path: Path, wide_pictures: WidePictures, allow_empty: bool) -> Clip | None:
    if path.name.startswith("."):
        return None
    clip = open_clip(path, wide_pictures)
    if path.is_symlink() and not path.exists():
        if not allow_empty:
            raise InputError(
                f"the clip {path} is a link that leads nowhere: mend it, or take it away"
            )
        return clip or FolderClip(path)
    if clip is not None and not allow_empty and (problem := clip.problem()):
        raise InputError(problem)
    return clip


def _random_part(clips: list[Clip], split: str, root: Path) -> list[Clip]:
    if len(clips) == 1:
        raise InputError(f"{root} holds one clip: without train/ and test/ one is kept for testing")
    digests = {clip.name: hashlib.sha256(os.fsencode(clip.name)).digest() for clip in clips}
    in_order = sorted(digests, key=digests.__getitem__)
    tested = set(in_order[: math.ceil(TEST_SHARE * len(clips))])
    return [clip for clip in clips if (clip.name in tested) == (split == "test")]
