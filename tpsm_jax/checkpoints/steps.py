"""The steps that a training run has saved: which there are, and which is the best."""

from collections.abc import Mapping
from pathlib import Path

from tpsm_jax.checkpoints.files import MODEL, STEPS, stored_part
from tpsm_jax.checkpoints.shipped import checkpoint_folder
from tpsm_jax.errors import InputError
from tpsm_jax.runtime.json_files import parse_json

# Names in the record that a checkpoint is saved with, and in metrics.jsonl.
LOSS, HELD_OUT_L1 = "loss", "eval/l1"
_RECORD = "metrics"  # Orbax's name, of the folder and of the file in it


def find_step(folder: str | Path, step: int | str = "latest") -> int | None:
    """Finds the step that `load_checkpoint` reads.

    Args:
      folder: a converted checkpoint or the workdir of a training run.
      step: a number (text will do), "latest" or "best".

    Returns:
      The step's number; None for a converted checkpoint, which has no steps.

    Raises:
      InputError: if there is no such step.
    """
    folder = Path(folder)
    if step not in ("latest", "best") and not str(step).isdecimal():
        raise InputError(f"step {step!r} is neither a number nor 'latest' nor 'best'")
    if stored_part(folder, MODEL):
        if step != "latest":
            raise InputError(f"{folder} has no steps to choose of: it is no training run's workdir")
        return None
    steps = finished_steps(folder)
    if not steps:
        raise InputError(f"the training run {folder} has not saved a checkpoint yet")
    if step == "latest":
        number = steps[-1]
    elif step == "best":
        number = _best_step(folder, steps)
    else:
        number = int(step)
    if number not in steps:
        kept = ", ".join(map(str, steps))
        raise InputError(f"{folder} has no checkpoint of step {number}, only of {kept}")
    return number


def split_step(text: str) -> tuple[Path, str | None]:
    """Splits DIR@STEP to the folder and the step, which is None in a text that is a folder.

    Raises:
      InputError: see `checkpoint_folder`, which finds the folder.
    """
    if "@" in text and not Path(text).exists():
        folder, _, step = text.rpartition("@")
        return checkpoint_folder(folder), step
    return checkpoint_folder(text), None


def finished_steps(workdir: Path) -> list[int]:
    """Lists the steps whose checkpoints are complete, in rising order."""
    folder = workdir / STEPS
    if not folder.is_dir():
        return []
    return sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal())


def rank(record: Mapping[str, float]) -> tuple[bool, float]:
    """Makes the value by which checkpoints are compared; the lowest is the best.

    Args:
      record: what the checkpoint was saved with: `HELD_OUT_L1`, `LOSS` or both.

    Returns:
      The L1 of held-out clips where the step was evaluated; otherwise the mean training loss,
      ranked behind every evaluated step.
    """
    if HELD_OUT_L1 in record:
        return False, float(record[HELD_OUT_L1])
    return True, float(record[LOSS])


def stored_rank(workdir: Path, step: int) -> tuple[bool, float] | None:
    """Reads the rank of a saved step.

    Args:
      workdir: the training run's folder.
      step: one of `finished_steps`.

    Returns:
      Its `rank`; None if it was saved without a record.

    Raises:
      OSError, ValueError, TypeError, KeyError: if its record is damaged.
    """
    path = _record_path(workdir, step)
    try:
        return rank(parse_json(path.read_text())) if path.exists() else None
    except OverflowError as error:
        raise ValueError("a number that is too large") from error


def _record_path(workdir: Path, step: int) -> Path:
    return workdir / STEPS / str(step) / _RECORD / _RECORD


def _best_step(folder: Path, steps: list[int]) -> int:
    ranks = {}
    for step in steps:
        try:
            found = stored_rank(folder, step)
        except (OSError, ValueError, TypeError, KeyError) as error:
            path = _record_path(folder, step)
            raise InputError(f"{path} is damaged; choose a step by its number") from error
        if found is not None:
            ranks[step] = found
    if not ranks:
        raise InputError(f"{folder} does not know its best step yet; choose one by its number")
    return min(ranks, key=ranks.__getitem__)
