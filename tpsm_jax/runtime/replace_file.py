"""Putting a finished file in the place of an older one, whole or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replaced(place: Path) -> Iterator[Path]:
    """A file to write beside its place, which is moved there at the end if nothing went wrong.

    Args:
      place: of the file.

    Yields:
      The path to write to. Nothing is left of it on an error, and what is at `place` stays.

    Raises:
      OSError: if it cannot be written; it names `place`.
    """
    partial = place.with_name(f".{place.name}.partial")
    try:
        yield partial
        os.replace(partial, place)
    except OSError as error:
        # That of a full disk names no file.
        raise OSError(error.errno, error.strerror, str(place)) from error
    finally:
        partial.unlink(missing_ok=True)


def replace_text(place: Path, text: str) -> None:
    """Writes a file as `replace_bytes` does.

    Args:
      place: of the file.
      text: all of it; UTF-8 on disk. What is no text, as a byte of a file's name in another
        encoding, is written as Python shows it.

    Raises:
      OSError: if it cannot be written; it names `place`, and what is there stays.
    """
    replace_bytes(place, text.encode(errors="backslashreplace"))


def replace_bytes(place: Path, content: bytes) -> None:
    """Writes a file by `replaced`.

    Args:
      place: of the file.
      content: all of it.

    Raises:
      OSError: if it cannot be written; it names `place`, and what is there stays.
    """
    with replaced(place) as partial:
        partial.write_bytes(content)
