"""Folders of pictures: which files are frames, and in which order."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from tpsm_jax.errors import InputError
from tpsm_jax.media.images import read_image
from tpsm_jax.media.natural_order import in_natural_order
from tpsm_jax.media.rgb import Color

# What is taken for a picture, wherever files are looked through. How it is read depends on its
# content alone.
PICTURE_SUFFIXES = frozenset(
    (
        *(".apng", ".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg"),
        *(".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
    )
)
_ENDINGS = tuple(PICTURE_SUFFIXES)


def is_picture(name: str) -> bool:
    """Whether a file is taken for a picture, by its name; hidden files are not."""
    return not name.startswith(".") and name.lower().endswith(_ENDINGS)


def frame_names(names: Iterable[str]) -> list[str]:
    """The names of the pictures among those of a folder's entries, in natural order."""
    return in_natural_order(filter(is_picture, names))


def count_kinds(paths: Iterable[Path]) -> Counter[str]:
    """Counts files by suffix, such as ".txt", and folders; hidden ones do not count."""
    return Counter(_kind(path) for path in paths if not path.name.startswith("."))


def describe_kinds(kinds: Counter[str]) -> str:
    """What `count_kinds` counted, as "3 .txt, 1 folder"; the most frequent kind first."""
    ordered = sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0]))
    return ", ".join(f"{count} {_plural(kind, count)}" for kind, count in ordered)


def picture_files(folder: Path) -> list[Path]:
    """The frames of a folder.

    Args:
      folder: holds pictures; hidden files and those of another suffix are passed over, see
        `passed_over`.

    Returns:
      At least one path, in natural order of the names.

    Raises:
      InputError: there is no picture, or the first one cannot be read.
    """
    entries = list(folder.iterdir())
    files = [folder / name for name in frame_names(entry.name for entry in entries)]
    if not files:
        kinds = describe_kinds(count_kinds(entries))
        holds = f" (it holds {kinds})" if kinds else ""
        raise InputError(
            f"the folder {folder} holds no picture (png, jpg, ...) to drive with{holds}"
        )
    read_image(files[0])
    return files


def read_pictures(
    files: Iterable[Path], alpha_background: Color | None = None
) -> Iterator[np.ndarray]:
    """Reads pictures one after the other, see `read_image`."""
    return (read_image(file, alpha_background=alpha_background) for file in files)


def passed_over(folder: Path) -> str:
    """A line about what a folder of frames holds besides pictures, by kind; "" if nothing."""
    kinds = count_kinds(path for path in folder.iterdir() if not is_picture(path.name))
    return f"{folder}: {describe_kinds(kinds)} passed over, which are no pictures" if kinds else ""


def _kind(path: Path) -> str:
    if path.is_dir():
        return "folder"
    return path.suffix.lower() or "file without a suffix"


def _plural(kind: str, count: int) -> str:
    if kind.startswith(".") or count == 1:
        return kind
    return kind.replace("folder", "folders").replace("file", "files")
