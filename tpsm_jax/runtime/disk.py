"""Room on the disk."""

import errno
import shutil
from pathlib import Path


def check_room(folder: Path, needed: int) -> None:
    """Checks that a disk has enough free space.

    Args:
      folder: an existing folder on that disk.
      needed: bytes.

    Raises:
      OSError: if less is free.
    """
    if needed > (free := shutil.disk_usage(folder).free):
        raise OSError(
            errno.ENOSPC, f"{needed >> 20} MiB are needed and {free >> 20} MiB are free on the disk"
        )
