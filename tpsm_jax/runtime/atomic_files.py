"""Files and folders that are replaced as a whole or not at all. Links are written through."""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from tpsm_jax.errors import InputError, reason


def through_links(place: Path) -> Path:
    """Finds what is written where an output is a symbolic link: what it leads to.

    A file that is complete is renamed, which would put it in the place of the link.

    Args:
      place: path of an output.

    Returns:
      `place` if it is no link. Otherwise the path that it leads to, where there need be nothing.

    Raises:
      InputError: the link leads back to itself.
    """
    if not place.is_symlink():
        return place
    target = Path(os.path.realpath(place))
    if target.is_symlink():
        raise InputError(f"{place} is a link that leads in a circle: name another output")
    return target


@contextlib.contextmanager
def replaced(place: Path) -> Iterator[Path]:
    """Gives a path to write a file to, which replaces `place` unless something fails.

    Args:
      place: path of the finished file; see `through_links` for one that is a link.

    Yields:
      A path in the same folder. After an error nothing is left there, and `place` is unchanged.

    Raises:
      OSError: if it cannot be written; it names `place`.
    """
    # A name of its own: another process may write the same file.
    target = through_links(place)
    partial = target.with_name(f".{target.name}.partial-{uuid.uuid4().hex[:8]}")
    try:
        yield partial
        os.replace(partial, target)
    except OSError as error:
        # The error of a full disk names no file.
        raise OSError(error.errno, reason(error), str(place)) from error
    finally:
        partial.unlink(missing_ok=True)


def replace_text(place: Path, text: str) -> None:
    """Replaces a file by a text, in UTF-8, as `replace_bytes` does.

    Args:
      place: path of the file.
      text: its whole content. Characters that UTF-8 cannot encode, such as those of file names in
        another encoding, are written as Python's escapes.

    Raises:
      OSError: if it cannot be written; it names `place`, which is unchanged.
    """
    replace_bytes(place, text.encode(errors="backslashreplace"))


def replace_bytes(place: Path, content: bytes) -> None:
    """Replaces a file as a whole or not at all.

    Args:
      place: path of the file.
      content: its whole content.

    Raises:
      OSError: if it cannot be written; it names `place`, which is unchanged.
    """
    with replaced(place) as partial:
        partial.write_bytes(content)


@contextlib.contextmanager
def replaced_folder(place: Path) -> Iterator[Path]:
    """Gives an empty folder to fill, which replaces `place` unless something fails.

    Args:
      place: path of the finished folder; missing parents are made. See `through_links` for a link.

    Yields:
      A folder next to `place`. After an error it is removed, and `place` is unchanged.

    Raises:
      OSError: if it cannot be made or moved.
    """
    place = through_links(place)
    partial = place.with_name(f".{place.name}.partial-{uuid.uuid4().hex[:8]}")
    partial.mkdir(parents=True)
    try:
        yield partial
        replace_folder(partial, place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def replace_folder(finished: Path, place: Path) -> None:
    """Moves `finished` to `place`; the older folder goes only once the new one is in.

    An error or an interrupt brings the older one back. If the machine stops between the two
    renames, it lies next to `place` as `.NAME.old-...`.

    Args:
      finished: a folder next to `place`.
      place: a folder, or nothing yet.

    Raises:
      OSError: if it cannot be moved.
    """
    old = place.with_name(f".{place.name}.old-{uuid.uuid4().hex[:8]}")
    try:
        if place.exists():
            os.rename(place, old)
        os.rename(finished, place)
    except BaseException:  # also when interrupted
        if old.exists() and not place.exists():
            os.rename(old, place)
        raise
    finally:
        if place.exists():
            shutil.rmtree(old, ignore_errors=True)
