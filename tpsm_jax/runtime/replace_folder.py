"""Putting a finished folder in the place of an older one, whole or not at all."""

import os
import shutil
import uuid
from pathlib import Path


def replace_folder(finished: Path, place: Path) -> None:
    """Moves `finished` to `place`; what was there goes only once the new one is in.

    An error or an interrupt brings the older one back. If the machine stops between the two
    renames, it lies beside `place` as `.NAME.old-...`.

    Args:
      finished: a folder beside `place`.
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
