"""The clips, and the pairs of clips, that eval.py runs over."""

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from data.clip import Clip, clip_suffixes
from data.fitting import fitted_frames
from data.loader import open_clips
from data.notes import check_motion
from data.roots import RootOptions, root_kind
from tpsm_jax.errors import InputError, reason
from tpsm_jax.evaluation.clip_frames import EvaluationClip
from tpsm_jax.media.container import DEFAULT_FPS
from tpsm_jax.media.proportions import SqueezeWarning
from tpsm_jax.media.video_reader import without_suffix
from tpsm_jax.runtime.safe_names import LONGEST_NAME, safe_name

Names = list[tuple[str, str]]
# Common disks take 255 bytes, and FrameWriter writes NAME.mp4 under a longer name first.
_LONGEST_NAME = LONGEST_NAME - len("..mp4.12345678.mp4")


def clips_for_test(
    config: ConfigDict,
    clips: Sequence[Clip] | None = None,
    *,
    limit: int | None = None,
    resize: bool = False,
    squeeze_warning: SqueezeWarning | None = None,
) -> list[EvaluationClip]:
    """The test clips of a data set, each driven by itself.

    Args:
      config: `image_size`, `dataset` and `dataset_params` are read.
      clips: what `open_clips` returned, if they are open already.
      limit: the most clips to return, evenly spaced in the order of names.
      resize: whether frames are resized to `image_size`; otherwise they keep their size.
      squeeze_warning: warns of frames that lose their proportions so; a new one if None.

    Returns:
      One for each clip.

    Raises:
      InputError: no clips can be found, or all of them are single frames.
    """
    if clips is None:
        clips = open_clips(config)
    check_motion(Path(config.dataset.path), clips)
    warn = squeeze_warning or SqueezeWarning()
    if limit is not None and limit < len(clips):
        clips = [clips[index * len(clips) // limit] for index in range(limit)]
    return [
        EvaluationClip(clip.name, _reader(clip, config, resize, warn), partial(_frame_rate, clip))
        for clip in clips
    ]


def split_note(path: Path) -> str:
    """A warning about where the test clips of a data set come from, or ""."""
    return root_kind(path, RootOptions((1, 1))).note(path)


def pairs_of_clips(
    config: ConfigDict,
    pairs: Names,
    clips: Sequence[Clip] | None = None,
    *,
    resize: bool = False,
) -> list[EvaluationClip]:
    """Pairs of test clips: the second clip moves the first frame of the first.

    Args:
      config: the same fields are read as by `clips_for_test`.
      pairs: names (source, driving), with or without the suffix of the clip's file.
      clips: what `open_clips` returned, if they are open already.
      resize: whether frames are resized to `image_size`; otherwise they keep their size.

    Returns:
      One clip per pair, named SOURCE--DRIVING, each pair once.

    Raises:
      InputError: there is no clip of such a name or more than one, or two pairs would write the
        same files.
    """
    if clips is None:
        clips = open_clips(config)
    named = _Named(clips, config.dataset.path)
    found: dict[str, tuple[Clip, Clip]] = {}
    warn = SqueezeWarning()
    for pair in pairs:
        source, driving = (named.find(name) for name in pair)
        name = f"{source.name}--{driving.name}"
        before, _ = found.setdefault(name, (source, driving))
        if before is not source:
            raise InputError(
                f"pairs with the sources {before.name} and {source.name} are both named {name}: "
                "evaluate them apart"
            )
    return [
        EvaluationClip(
            name,
            _reader(driving, config, resize, warn),
            partial(_frame_rate, driving),
            _reader(source, config, resize, warn),
        )
        for name, (source, driving) in found.items()
    ]


def check_names(clips: Sequence[EvaluationClip]) -> None:
    """Checks that files and a page can be named after clips.

    Raises:
      InputError: a name is none of a file, too long, not UTF-8, or another clip's too.
    """
    names = [safe_name(clip.name, "a clip") for clip in clips]
    if twice := next((name for name, count in Counter(names).items() if count > 1), None):
        raise InputError(f"two clips are named {twice}, and would write the same files: rename one")
    for name in names:
        try:
            length = len(name.encode())
        except UnicodeEncodeError:
            raise InputError(f"the clip's name {name!r} is not UTF-8: rename it") from None
        if length > _LONGEST_NAME:
            raise InputError(
                f"the name {name} has {length} bytes, and with what its files add only "
                f"{_LONGEST_NAME} fit on a disk: shorten it"
            )


def read_pairs(path: str | Path) -> Names:
    """Reads a table of pairs.

    Args:
      path: CSV with columns `source` and `driving`. Others, such as `distance` and `frame` in the
        community's files, are ignored.

    Returns:
      (source, driving), each pair once, in the order of the table.

    Raises:
      InputError: it cannot be read, lacks a column, or holds no pair.
    """
    try:
        # Spreadsheets write a byte order mark before the first column's name.
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            columns = reader.fieldnames or ()
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"cannot read the pairs {path}: {reason(error)}") from None
    for column in ("source", "driving"):
        if column not in columns:
            there = ", ".join(map(repr, columns)) or "none"
            raise InputError(f"the pairs {path} have no column {column!r} among theirs: {there}")
    pairs = [(row["source"] or "", row["driving"] or "") for row in rows]
    if not pairs:
        raise InputError(f"{path} holds no pair")
    return list(dict.fromkeys(pairs))


def random_pairs(
    config: ConfigDict, count: int, seed: int, clips: Sequence[Clip] | None = None
) -> Names:
    """Draws pairs of different test clips, of different identities if there are several.

    Args:
      config: the same fields are read as by `clips_for_test`.
      count: number of pairs; fewer are returned if there are no more.
      seed: seed of the choice.
      clips: what `open_clips` returned, if they are open already.

    Returns:
      (source, driving).

    Raises:
      InputError: there are fewer than two clips.
    """
    if clips is None:
        clips = open_clips(config)
    if len(clips) < 2:
        raise InputError(f"{config.dataset.path} has fewer than two test clips: a pair needs two")
    several = len({clip.identity for clip in clips}) > 1
    rng = np.random.default_rng(seed)
    pairs: dict[tuple[str, str], None] = {}
    # Every clip drives once before any drives again, so that few pairs show many clips.
    while len(pairs) < count:
        before = len(pairs)
        for index in rng.permutation(len(clips)):
            driving = clips[index]
            sources = [
                clip.name
                for clip in clips
                if clip is not driving
                and (not several or clip.identity != driving.identity)
                and (clip.name, driving.name) not in pairs
            ]
            if sources and len(pairs) < count:
                pairs[sources[rng.integers(len(sources))], driving.name] = None
        if len(pairs) == before:
            break
    return list(pairs)


class _Named:
    """Finds clips by name, with or without the suffix of a file."""

    def __init__(self, clips: Sequence[Clip], data: str):
        self._data = data
        self._whole = {clip.name: clip for clip in clips}
        self._short: dict[str, list[Clip]] = {}
        for clip in clips:
            self._short.setdefault(_short_name(clip.name), []).append(clip)

    def find(self, name: str) -> Clip:
        if name in self._whole:
            return self._whole[name]
        found = self._short.get(_short_name(name), [])
        if not found:
            raise InputError(
                f"the pairs name a clip {name!r}, which is not among the {len(self._whole)} test "
                f"clips of {self._data}"
            )
        if len(found) > 1:
            names = " or ".join(clip.name for clip in found)
            raise InputError(f"the pairs name a clip {name!r}: say whether {names}")
        return found[0]


def _short_name(name: str) -> str:
    """A clip's name without the suffix of its file, of whatever kind."""
    return without_suffix(name, clip_suffixes())


def _reader(
    clip: Clip, config: ConfigDict, resize: bool, warn: SqueezeWarning
) -> Callable[[], Iterator[np.ndarray]]:
    height, width = config.image_size
    return partial(fitted_frames, clip, (height, width) if resize else None, warn)


def _frame_rate(clip: Clip) -> float:
    try:
        return clip.frame_rate or DEFAULT_FPS
    except InputError:
        return DEFAULT_FPS  # reading its frames reports that it is broken
