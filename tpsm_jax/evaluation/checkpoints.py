"""The checkpoints of an evaluation: how they are chosen, named and distinguished."""

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from tpsm_jax.checkpoints.added_fields import without_added_fields
from tpsm_jax.checkpoints.converted import Checkpoint
from tpsm_jax.checkpoints.files import MODEL, stored_part
from tpsm_jax.checkpoints.steps import find_step, split_step
from tpsm_jax.errors import InputError
from tpsm_jax.evaluation.output import METRICS, REPORT, RUN, TRUTH
from tpsm_jax.runtime.run_lock import LOCK

# In an evaluation's folder, next to the folders of the checkpoints.
_TAKEN = (TRUTH, RUN, METRICS, REPORT, LOCK)


class ChosenCheckpoint(NamedTuple):
    """A checkpoint to evaluate.

    Attributes:
      name: unique in the evaluation; the folder of its results has it too.
      folder: a converted checkpoint or the workdir of a training run.
      step: the training run's step; None for a converted checkpoint.
      ema: take the averaged parameters if there are any.
    """

    name: str
    folder: Path
    step: int | None
    ema: bool


def choose_checkpoints(
    checkpoints: Sequence[str], *, step: str = "latest", ema: bool = True
) -> list[ChosenCheckpoint]:
    """Resolves the names of checkpoints, as flags give them.

    Args:
      checkpoints: folders; DIR@STEP takes another step of a workdir than `step`.
      step: the step of workdirs: a number, "latest" or "best".
      ema: whether to take the average, as in `ChosenCheckpoint`.

    Returns:
      One entry a checkpoint; "latest" and "best" have become numbers.

    Raises:
      InputError: there is no such checkpoint or step, or one is given twice.
    """
    chosen: dict[str, ChosenCheckpoint] = {}
    given: set[tuple[Path, int | None]] = set()
    for text in checkpoints:
        folder, wanted = split_step(text)
        if not folder.is_dir():
            raise InputError(f"there is no checkpoint {folder}")
        if wanted is None:  # --step is for workdirs alone
            wanted = "latest" if stored_part(folder, MODEL) else step
        number = find_step(folder, wanted)
        if (folder.resolve(), number) in given:
            raise InputError(f"the checkpoint {text} is given twice")
        given.add((folder.resolve(), number))
        name = folder.resolve().name + ("" if number is None else f"@{number}")
        if name in chosen or name in _TAKEN:
            name = f"{folder.resolve().parent.name}-{name}"
        if name in chosen:
            raise InputError(f"{chosen[name].folder} and {folder} would both be called {name}")
        chosen[name] = ChosenCheckpoint(name, folder, number, ema)
    return list(chosen.values())


def weights_crc32(variables: Any) -> str:
    """A checksum of all weights: equal only for equal checkpoints."""
    checksum = 0
    for leaf in jax.tree.leaves(variables):
        checksum = zlib.crc32(np.ascontiguousarray(leaf).view(np.uint8).data, checksum)
    return f"{checksum:08x}"


def checkpoint_entry(model: ChosenCheckpoint, checkpoint: Checkpoint) -> dict[str, Any]:
    """The entry of a checkpoint in metrics.json, without numbers."""
    return {
        "name": model.name,
        "checkpoint": str(model.folder),
        "step": model.step,
        "ema": model.ema,
        "weights_crc32": weights_crc32(checkpoint.variables),
        "config": checkpoint.config.to_dict(),
    }


def identity(entry: Mapping[str, Any], checkpoint: Checkpoint) -> dict[str, Any]:
    """The fields that identify a checkpoint, wherever its folder is."""
    config = checkpoint.config.to_dict()
    decide = [config["image_size"], without_added_fields(config["model_params"])]
    decide.append((config.get("dataset_params") or {}).get("frame_shape"))
    same = {field: entry[field] for field in ("name", "step", "ema", "weights_crc32")}
    return {**same, "config_crc32": crc32(decide)}


def crc32(value: Any) -> str:
    """A checksum of plain JSON, as eight digits."""
    return f"{zlib.crc32(json.dumps(value, sort_keys=True).encode()):08x}"
