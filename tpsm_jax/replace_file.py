"""Putting a finished file in the place of an older one, whole or not at all."""

import os
from pathlib import Path


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
    """Writes a file beside its place, and moves it there.

    Args:
      place: of the file.
      content: all of it.

    Raises:
      OSError: if it cannot be written; it names `place`, and what is there stays.
    """
    partial = place.with_name(f".{place.name}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, place)
    except OSError as error:
        # That of a full disk names no file.
        raise OSError(error.errno, error.strerror, str(place)) from error
    finally:
        partial.unlink(missing_ok=True)
