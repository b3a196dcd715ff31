"""Trees of arrays on disk, by Orbax, which training/checkpointing.py alone uses besides.

    DIR/config.json                    the config of the run
    DIR/checkpoints/STEP/variables/    {"params": {network: ...}, "batch_stats": {network: ...}}
    DIR/checkpoints/STEP/ema_params/   {network: ...}, where an average is kept

is what a training run leaves; a step's folder has its name only once it is complete.
"""

import contextlib
import errno
import json
import logging
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from tpsm_jax.errors import InputError

STEPS, VARIABLES, EMA_PARAMS = "checkpoints", "variables", "ema_params"
# Of a step's record, and of metrics.jsonl.
LOSS, HELD_OUT_L1 = "loss", "eval/l1"
_METRICS = "metrics"  # of a step, where Orbax keeps them


def save_tree(path: Path, tree: Any) -> None:
    """Writes a tree of arrays.

    Args:
      path: absolute; a folder to make, or an empty one.
      tree: nested dicts.

    Raises:
      OSError: if it cannot be written.
    """
    # Orbax makes the folder itself.
    if path.exists():
        path.rmdir()
    # Told before, because Orbax tells a full disk in hundreds of lines.
    check_room(path.parent, tree_bytes(tree))
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(path, jax.device_get(tree))


def load_tree(path: Path) -> Any:
    """Reads a tree of arrays, whatever devices it was saved from.

    Args:
      path: that `save_tree` or a training run wrote.

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


def finished_steps(workdir: Path) -> list[int]:
    """The steps that a training run has complete checkpoints of, in rising order."""
    folder = workdir / STEPS
    if not folder.is_dir():
        return []
    return sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal())


def metrics_path(workdir: Path, step: int) -> Path:
    """The file of what a step's checkpoint came with; there is none if with nothing."""
    return workdir / STEPS / str(step) / _METRICS / _METRICS


def rank(record: Mapping[str, float]) -> tuple[bool, float]:
    """What checkpoints are compared by: the best has the least.

    Args:
      record: that a checkpoint came with.

    Returns:
      The L1 of held-out clips; behind all of these, where the step was not evaluated, the mean
      training loss.
    """
    if HELD_OUT_L1 in record:
        return False, float(record[HELD_OUT_L1])
    return True, float(record[LOSS])


def stored_rank(workdir: Path, step: int) -> tuple[bool, float] | None:
    """The rank of a step's checkpoint; None if it came with nothing to compare.

    Raises:
      OSError, ValueError, TypeError, KeyError: if its record is damaged.
    """
    path = metrics_path(workdir, step)
    return rank(json.loads(path.read_text())) if path.exists() else None


def tree_bytes(tree: Any) -> int:
    """The bytes of all arrays (or `jax.ShapeDtypeStruct`) of a tree."""
    return sum(leaf.size * np.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(tree))


def check_room(folder: Path, needed: int) -> None:
    """Makes sure of room on the disk.

    Args:
      folder: one that exists.
      needed: bytes.

    Raises:
      OSError: if there is less.
    """
    if needed > (free := shutil.disk_usage(folder).free):
        raise OSError(
            errno.ENOSPC, f"{needed >> 20} MiB are needed and {free >> 20} MiB are free on the disk"
        )


@contextlib.contextmanager
def quiet_orbax() -> Iterator[None]:
    """Keeps Orbax from printing pages around what is told in one line anyway.

    It logs through absl's logger. And when one array of a damaged checkpoint fails, it closes its
    event loop at once, and each of the others, still being read, complains of that; some only when
    Python clears away afterwards, so after an error all of it stays hidden.
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

    def without_closed_loops(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            hook(unraisable)

    absl.addFilter(not_orbax)
    asyncio.addFilter(no_lost_task)
    sys.unraisablehook = without_closed_loops
    yield
    sys.unraisablehook = hook
    asyncio.removeFilter(no_lost_task)
    absl.removeFilter(not_orbax)
