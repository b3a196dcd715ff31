"""Trees of arrays on disk, by Orbax."""

import contextlib
import gc
import logging
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore

from tpsm_jax.errors import InputError
from tpsm_jax.runtime.disk import check_room


def save_tree(path: Path, tree: Any) -> None:
    """Writes a tree of arrays.

    Args:
      path: absolute path of a folder that is absent or empty.
      tree: nested dicts of arrays.

    Raises:
      OSError: if it cannot be written.
    """
    if path.exists():
        path.rmdir()  # Orbax makes the folder itself
    # Checked first, because Orbax reports a full disk in hundreds of lines.
    check_room(path.parent, tree_bytes(tree))
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(path, jax.device_get(tree))


def load_tree(path: Path) -> Any:
    """Reads a tree of arrays, no matter which devices saved it.

    Args:
      path: a folder that `save_tree` or a training run wrote.

    Returns:
      The tree, its leaves NumPy arrays.

    Raises:
      InputError: if it is missing or damaged.
    """
    path = path.absolute()
    with quiet_orbax():
        try:
            with ocp.PyTreeCheckpointer() as checkpointer:
                described = checkpointer.metadata(path).item_metadata.tree
                arrays = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), described)
                return checkpointer.restore(path, restore_args=arrays)
        except Exception as error:
            # Orbax and TensorStore raise nearly anything on damaged files.
            raise InputError(f"{path} is damaged ({type(error).__name__})") from error


def tree_bytes(tree: Any) -> int:
    """Counts the bytes of all arrays (or `jax.ShapeDtypeStruct`) in a tree."""
    return sum(leaf.size * np.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(tree))


@contextlib.contextmanager
def quiet_orbax() -> Iterator[None]:
    """Silences Orbax around errors that we report in one line.

    Orbax logs through absl's logger. When one array of a damaged checkpoint fails, it closes its
    event loop at once, and every other array still being read complains about that: some when they
    arrive, some when Python collects them. Both are waited for, and then the logs and the hook are
    as they were before.
    """
    absl, asyncio, hook = (
        logging.getLogger("absl"),
        logging.getLogger("asyncio"),
        sys.unraisablehook,
    )

    def not_orbax(record: logging.LogRecord) -> bool:
        return "orbax" not in record.pathname

    def no_lost_task(record: logging.LogRecord) -> bool:
        return "never retrieved" not in record.getMessage()

    last_complaint = 0.0

    def without_closed_loops(unraisable: Any) -> None:
        nonlocal last_complaint
        if str(unraisable.exc_value) == "Event loop is closed":
            last_complaint = time.monotonic()
        else:
            hook(unraisable)

    absl.addFilter(not_orbax)
    asyncio.addFilter(no_lost_task)
    sys.unraisablehook = without_closed_loops
    # So `_end_reads` looks through what is made from here on alone. In a large process all objects
    # take a second.
    gc.freeze()
    try:
        yield
    except InputError as error:  # what Orbax's errors have become; others keep their frames
        if _end_reads(error):
            begin = time.monotonic()
            while time.monotonic() - max(begin, last_complaint) < _SILENCE:
                time.sleep(_SILENCE / 10)
        raise
    finally:
        gc.unfreeze()
        sys.unraisablehook = hook
        asyncio.removeFilter(no_lost_task)
        absl.removeFilter(not_orbax)


# Seconds without a complaint after which the threads of finished reads have no more of them.
_SILENCE = 0.1


def _end_reads(error: InputError) -> bool:
    """Waits for the arrays that are still being read, and collects what an error holds of them.

    Args:
      error: an error that Orbax's errors have become.

    Returns:
      Whether there were any.
    """
    # Nothing else knows of them: Orbax's tasks have been dropped with their loop.
    reads = [thing for thing in gc.get_objects() if type(thing) is tensorstore.Future]
    for read in reads:
        read.exception()
    found = bool(reads)
    del reads
    cause: BaseException | None = error
    while cause is not None:
        traceback.clear_frames(cause.__traceback__)
        cause = cause.__cause__ or cause.__context__
    gc.collect()
    return found
