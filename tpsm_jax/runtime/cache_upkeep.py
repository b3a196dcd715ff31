"""Keeps a folder of compiled programs small and whole.

JAX's own limit (`jax_compilation_cache_max_size`) does not do: it needs another package, counts
JAX's files alone, and fails on folders that were filled without it.
"""

import contextlib
import glob
import re
import warnings
from pathlib import Path
from typing import Any

MOST_BYTES = 2**32
_KEPT = ("*-cache", "*-atime", "tpsm_jax-*")  # JAX's entries and ours; nothing else is touched
_DAMAGED = re.compile(r"Error reading persistent compilation cache entry for '([^']+)'")


def limit_size(folder: Path, most: int = MOST_BYTES) -> None:
    """Removes the programs that were not used for the longest time.

    Args:
      folder: a folder of compiled programs; nothing is done if it is missing.
      most: bytes that the folder may have.
    """
    entries = []
    for path in {path for pattern in _KEPT for path in folder.glob(pattern)}:
        with contextlib.suppress(OSError):  # another process removed it
            stat = path.stat()
            # Many disks note the time of reading once a day, some never.
            entries.append((max(stat.st_atime, stat.st_mtime), stat.st_size, path))
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= most:
            return
        with contextlib.suppress(OSError):
            path.unlink()
        total -= size


def remove_damaged_entries(folder: Path) -> None:
    """Lets JAX replace entries that it cannot read, as after a full disk or a kill.

    JAX warns about such an entry and compiles, but never writes over a file that is there: so it
    would warn and compile in every process to come. From here on its warning removes the entry,
    and JAX, which writes once it has compiled, writes it again.

    Args:
      folder: the folder where JAX keeps compiled programs.
    """
    show = getattr(warnings.showwarning, "shows_others_by", warnings.showwarning)

    def show_or_mend(message: Warning | str, *where: Any, **more: Any) -> None:
        found = _DAMAGED.match(str(message))
        if found is None:
            show(message, *where, **more)
            return
        # The warning names the program alone, of which there may be several entries.
        for path in folder.glob(f"{glob.escape(found[1])}-*-cache"):
            path.unlink(missing_ok=True)
        text = f"a damaged entry for {found[1]} was removed from {folder}; it is compiled again"
        show(UserWarning(text), *where, **more)

    show_or_mend.shows_others_by = show  # type: ignore[attr-defined]
    warnings.showwarning = show_or_mend
