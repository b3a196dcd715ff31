"""Putting a finished file in the place of an older one, whole or not at all."""

import os
from pathlib import Path


def replace_text(place: Path, text: str) -> None:
    """Writes a file beside its place, and moves it there.

    Args:
      place: of the file.
      text: all of it; UTF-8 on disk.

    Raises:
      OSError: if it cannot be written. What is at `place` stays.
    """
    partial = place.with_name(f".{place.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, place)
    finally:
        partial.unlink(missing_ok=True)
