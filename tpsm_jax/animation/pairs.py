"""Several pictures, several clips: which pairs are animated, and what each is called."""

import csv
import os
import re
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

from tpsm_jax.animation.motion_file import SUFFIX
from tpsm_jax.cli import printable
from tpsm_jax.errors import InputError, one_line, reason
from tpsm_jax.media.natural_order import in_natural_order
from tpsm_jax.media.picture_folder import count_kinds, describe_kinds, frame_names, is_picture
from tpsm_jax.media.video_reader import VIDEO_SUFFIXES, without_suffix
from tpsm_jax.runtime.local_paths import local_path

_EXAMPLE = "results/{source}-{driving}.mp4"
_PLACES = ("{source}", "{driving}")
_COLUMNS = ("source", "driving")
_CLIPS = (*VIDEO_SUFFIXES, SUFFIX)


class Pair(NamedTuple):
    """A picture, what moves it, and where the result goes, None for nowhere."""

    source: str
    driving: str
    output: str | None


def find_pairs(source: str, driving: str, output: str | None) -> list[Pair] | None:
    """All pairs of the pictures and the clips of two paths.

    Args:
      source: a picture, or a folder of pictures.
      driving: a clip, or a folder of clips: one that holds videos, saved motions or folders of
        frames, and no picture. A folder with pictures is one clip.
      output: path of the results, with "{source}" and "{driving}" in place of the inputs' names.

    Returns:
      At least one pair, in natural order; None if neither path is a folder of several.

    Raises:
      InputError: a folder holds nothing of the kind, two pairs would have one output, or results
        would lie among the inputs.
    """
    folders = [Path(source)] if Path(source).is_dir() else []
    sources = _pictures(Path(source)) if folders else [source]
    if clips := _clips(Path(driving)):
        folders.append(Path(driving))
    if not folders:
        return None
    return _named(
        [(one, other) for one in sources for other in clips or [driving]], output, folders
    )


def read_pairs(path: Path, output: str | None) -> list[Pair]:
    """The pairs of a table.

    Args:
      path: a CSV file with the columns "source" and "driving", paths from the file's folder on.
      output: as for `find_pairs`.

    Raises:
      InputError: it is no such table, two pairs would have one output, or a result would replace
        an input.
    """
    pairs = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            if missing := [name for name in _COLUMNS if name not in (table.fieldnames or ())]:
                raise InputError(f"{path} lacks the column {missing[0]}: its first line names them")
            for row in table:
                if empty := [name for name in _COLUMNS if not row[name]]:
                    raise InputError(f"{path}, line {table.line_num}: there is no {empty[0]}")
                source, driving = (str(path.parent / local_path(row[name])) for name in _COLUMNS)
                pairs.append((source, driving))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"cannot read the pairs of {path}: {reason(error)}") from None
    if not pairs:
        raise InputError(f"{path} names no pair")
    return _named(pairs, output, [])


def animate_pairs(pairs: list[Pair], animate: Callable[[Pair], str]) -> None:
    """Animates pair after pair; prints which are left out, and why.

    Results that are there are left alone, so an interrupted command can be repeated.

    Args:
      pairs: the pairs, each with an output.
      animate: writes one result and returns a line about it.

    Raises:
      InputError: a pair could not be animated; raised after all others are done.
    """
    failed = 0
    for number, pair in enumerate(pairs, 1):
        try:
            line, is_done = _animate_one(pair, animate), True
        except (InputError, OSError) as error:
            failed, is_done = failed + 1, False
            line = f"skipped {pair.source} with {pair.driving}: {one_line(error)}"
        output = sys.stdout if is_done else sys.stderr
        print(f"{number} of {len(pairs)}: {printable(line)}", file=output, flush=True)
    if failed:
        raise InputError(
            f"{failed} of {len(pairs)} pairs were skipped, for the reasons above; "
            f"{len(pairs) - failed} results are there"
        )


def _animate_one(pair: Pair, animate: Callable[[Pair], str]) -> str:
    assert pair.output is not None, "whoever names pairs gives them outputs"
    place = Path(pair.output)
    if place.exists():
        return f"{pair.output} is there; left alone"
    made = [folder for folder in place.parents if not folder.exists()]
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        return animate(pair)
    finally:
        for folder in made:  # that nothing was written into
            if not any(folder.iterdir()):
                folder.rmdir()


def _pictures(folder: Path) -> list[str]:
    entries = list(folder.iterdir())
    names = frame_names(entry.name for entry in entries if entry.is_file())
    _print_what_is_left(folder, entries, names)
    if not names:
        raise InputError(f"the folder {folder} holds no picture (png, jpg, ...) to animate")
    return [str(folder / name) for name in names]


def _clips(folder: Path) -> list[str]:
    """The clips in a folder; none for what is no folder, or a folder of frames."""
    entries = list(folder.iterdir()) if folder.is_dir() else []
    if any(is_picture(entry.name) for entry in entries):
        return []
    names = [
        entry.name
        for entry in entries
        if not entry.name.startswith(".")
        and (_holds_pictures(entry) if entry.is_dir() else entry.name.lower().endswith(_CLIPS))
    ]
    if names:
        _print_what_is_left(folder, entries, names)
    return [str(folder / name) for name in in_natural_order(names)]


def _holds_pictures(folder: Path) -> bool:
    return any(is_picture(entry.name) for entry in folder.iterdir())


def _print_what_is_left(folder: Path, entries: list[Path], names: list[str]) -> None:
    if left := count_kinds(entry for entry in entries if entry.name not in names):
        print(f"warning: {folder}: {describe_kinds(left)} passed over", file=sys.stderr)


def _named(
    pairs: list[tuple[str, str]], output: str | None, folders: Collection[Path]
) -> list[Pair]:
    """Gives each pair its output, none of which is another one's, or among the inputs."""
    if output is None:
        return [Pair(*pair, None) for pair in pairs]
    inputs = {_absolute(path) for pair in pairs for path in pair}
    listed = {_absolute(folder) for folder in folders}
    owners: dict[str, tuple[str, str]] = {}
    for pair in pairs:
        path = _fill(output, *pair)
        place = _absolute(path)
        if place in inputs or place in listed or os.path.dirname(place) in listed:
            raise InputError(f"{path} would lie among the inputs: name another folder for --output")
        if path in owners:
            _refuse_one_output(path, owners[path], pair, output)
        owners[path] = pair
    return [Pair(*pair, path) for path, pair in owners.items()]


def _refuse_one_output(
    path: str, one: tuple[str, str], other: tuple[str, str], output: str
) -> None:
    if one == other:
        raise InputError(f"{one[0]} with {one[1]} is listed twice")
    differing = zip(_PLACES, one, other, strict=True)
    if missing := [each for each, a, b in differing if a != b and each not in output]:
        raise InputError(
            f"several results would be {path}: put {' and '.join(missing)} into --output, as "
            f"{_EXAMPLE}"
        )
    raise InputError(f"several results would be {path}: rename inputs of the same name")


def _fill(output: str, source: str, driving: str) -> str:
    names = [
        without_suffix(os.path.basename(_absolute(path)), {SUFFIX}) for path in (source, driving)
    ]
    values = dict(zip(_PLACES, names, strict=True))
    return re.sub("|".join(map(re.escape, _PLACES)), lambda found: values[found.group()], output)


def _absolute(path: str | Path) -> str:
    return os.path.abspath(path)
