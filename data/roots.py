"""The kinds of places that hold a data set's clips, and how each finds them.

A new kind is a file that finds its clips, and an entry of `ROOT_KINDS`.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data.clip import Clip
from data.folder import SPLITS, find_clips, split_folder, split_note
from data.notes import passed_over, single_frames
from data.prepare import is_prepared, open_prepared
from data.puppets.data_set import draw_data_set
from tpsm_jax.errors import InputError
from tpsm_jax.runtime.apart import refuse_within


@dataclasses.dataclass(frozen=True)
class RootOptions:
    """Settings, other than its path, that decide which clips a root has.

    Attributes:
      image_size: (height, width) that frames are resized to later.
      frame_shape: (height, width, ...) of the frames of wide pictures, or None for frames of the
        picture's height, in the proportions of `image_size`.
      puppets: {clips, frames, size} of the puppets to draw if nothing is there, or None.
      for_evaluation: whether clips that cannot be read are listed too, for the caller to report,
        and wide pictures may have any height.
      skip_broken: whether clips that cannot be read are listed too, also those of a record file
        that is missing or truncated, for others to replace.
    """

    image_size: tuple[int, int]
    frame_shape: Sequence[int] | None = None
    puppets: Mapping[str, Any] | None = None
    for_evaluation: bool = False
    skip_broken: bool = False


@dataclasses.dataclass(frozen=True)
class RootKind:
    """A kind of place that holds the clips of a data set.

    Attributes:
      title: what the kind is called in a log.
      is_at: whether a path is of this kind.
      find: lists the clips of a split ('train' or 'test'), at least one, sorted by name. It raises
        an `InputError` if there are none.
      note: a warning for someone who evaluates its test clips, or "".
      notes: lines about the clips that `find` listed for a split, see `data.notes`.
    """

    title: str
    is_at: Callable[[Path, RootOptions], bool]
    find: Callable[[Path, str, RootOptions], list[Clip]]
    note: Callable[[Path], str] = lambda path: ""
    notes: Callable[[Path, str, Sequence[Clip]], list[str]] = lambda path, split, clips: (
        single_frames(path, clips)
    )


def _find_in_folder(path: Path, split: str, options: RootOptions) -> list[Clip]:
    if not options.for_evaluation and not path.is_dir():
        raise InputError(
            f"there is no folder of clips {str(path)!r}: set --config.dataset.path (and mix_paths)"
        )
    return find_clips(
        path,
        split,
        image_size=options.image_size,
        frame_shape=options.frame_shape,
        allow_empty_folders=options.for_evaluation or options.skip_broken,
        any_height=options.for_evaluation,
    )


def _folder_notes(path: Path, split: str, clips: Sequence[Clip]) -> list[str]:
    return passed_over(split_folder(path, split), clips) + single_frames(path, clips)


def _draw_and_find(path: Path, split: str, options: RootOptions) -> list[Clip]:
    assert options.puppets is not None
    draw_data_set(path, **options.puppets)
    return _find_in_folder(path, split, options)


PREPARED = RootKind(
    "prepared data set",
    lambda path, _: is_prepared(path),
    lambda path, split, options: open_prepared(path, split, allow_broken=options.skip_broken),
)
# Once drawn, puppets are a folder like any other.
PUPPETS = RootKind(
    "folder of clips", lambda _, options: options.puppets is not None, _draw_and_find
)
FOLDER = RootKind("folder of clips", lambda *_: True, _find_in_folder, split_note, _folder_notes)

# The first kind that is at a path reads it.
ROOT_KINDS = (PREPARED, PUPPETS, FOLDER)


def root_kind(path: Path, options: RootOptions) -> RootKind:
    """The kind of place that a path is; a folder of clips if it is no other."""
    return next(kind for kind in ROOT_KINDS if kind.is_at(path, options))


def refuse_among_clips(place: Path, name: str, root: Path, root_name: str) -> None:
    """Refuses to write among the clips of a data set: the next listing would count it as one.

    Args:
      place: path of an output.
      name: its flag, for the error.
      root: path of a data set, where there may be nothing yet.
      root_name: its flag or field.

    Raises:
      InputError: the output is within the folder whose entries are clips, or is that folder.
    """
    if is_prepared(root):
        return  # it lists its clips in a file
    splits = [root / split for split in SPLITS]
    for folder in splits if any(map(Path.is_dir, splits)) else [root]:
        refuse_within(place, name, folder, root_name)
