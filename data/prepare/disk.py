"""Writes files atomically, and words the error for a full disk."""

import os
import uuid
from pathlib import Path

from data.prepare.layout import UNFINISHED
from tpsm_jax.errors import InputError, reason


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file under another name in the folder of unfinished work, then renames it.

    Args:
      path: a file in the prepared data set, or in its folder of unfinished work.
      data: the whole content.

    Raises:
      InputError: it cannot be written.
    """
    folder = path.parent if path.parent.name == UNFINISHED else path.parent / UNFINISHED
    temporary = folder / f"{path.name}.{uuid.uuid4().hex[:8]}"
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        raise cannot_write(path, reason(error)) from None
    finally:
        temporary.unlink(missing_ok=True)


def cannot_write(path: Path, reason: str) -> InputError:
    """The error for a file that cannot be written, perhaps because the disk is full."""
    return InputError(
        f"cannot write {path} ({reason}): if the disk is full, make room for it; the same command "
        "resumes there"
    )
