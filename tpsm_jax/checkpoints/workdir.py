"""The folder of a run: whose it is, and whether there is room in it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from tpsm_jax.checkpoints.added_fields import with_added_fields
from tpsm_jax.checkpoints.orbax_io import STEPS, VARIABLES, check_room, finished_steps
from tpsm_jax.errors import InputError
from tpsm_jax.runtime.replace_file import replace_text
from tpsm_jax.training.log import METRICS

CONFIG = "config.json"
# What cannot change between two parts of a run, because the state would have another form, ...
_FIXED = ("stage", "model_params", "optimizer", "freeze")
# ... or, of the section dataset, samples would be missed or come twice.
_FIXED_OF_DATASET = ("mix_weights",)


def claim_workdir(workdir: Path, config: ConfigDict) -> None:
    """Makes the folder, or makes sure that the run in it can go on with this config.

    Args:
      workdir: absolute.
      config: of the experiment.

    Raises:
      InputError: if it holds something else or the run of another model, or cannot be written.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        present = {entry.name for entry in workdir.iterdir()}
        if VARIABLES in present:
            raise InputError(f"{workdir} is a converted checkpoint; give another --workdir")
        begun = {CONFIG} < present & {CONFIG, STEPS, METRICS}
        if not begun and (present & {CONFIG, METRICS} or any((workdir / STEPS).glob("*"))):
            raise InputError(
                f"{workdir} holds other things than a run of train.py "
                f"({', '.join(sorted(present))[:100]}); give another --workdir"
            )
        if finished_steps(workdir):
            _check_same_run(workdir, config)
        # The config comes later, so that no run has one and not this folder.
        (workdir / STEPS).mkdir(exist_ok=True)
        probe = workdir / f".{CONFIG}.partial"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise InputError(f"{workdir} cannot be written: {error.strerror or error}") from error


def record_config(workdir: Path, config: ConfigDict) -> None:
    """Writes config.json, which replaces an older one once it is complete.

    Args:
      workdir: claimed.
      config: of the experiment.

    Raises:
      InputError: if it cannot be written.
    """
    try:
        replace_text(workdir / CONFIG, json.dumps(config.to_dict(), indent=2) + "\n")
    except OSError as error:
        raise InputError(f"{workdir} cannot be written: {error.strerror or error}") from error


def check_disk(workdir: Path, state_bytes: int, keep: int) -> None:
    """Makes sure that the checkpoints to come fit on the disk.

    Args:
      workdir: claimed.
      state_bytes: of one checkpoint.
      keep: checkpoints kept, besides the best.

    Raises:
      InputError: if they do not.
    """
    # The best besides, and the next before the oldest goes.
    to_come = max(1, keep + 2 - len(finished_steps(workdir)))
    try:
        check_room(workdir, to_come * state_bytes)
    except OSError as error:
        raise InputError(
            f"no room for {to_come} checkpoints of {state_bytes >> 20} MiB in {workdir}: "
            f"{error.strerror}; --config.keep_checkpoints says how many are kept"
        ) from error


def _check_same_run(workdir: Path, config: ConfigDict) -> None:
    path = workdir / CONFIG
    try:
        before = dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged, and so nobody knows what {workdir} is") from error
    now = json.loads(json.dumps(config.to_dict()))
    for field, old, new in _differences(_fixed(before), _fixed(now)):
        raise InputError(
            f"{workdir} is a run with {field} = {old!r}, and the config says {new!r}: "
            "take the same or another --workdir"
        )


def _fixed(config: Mapping[str, Any]) -> dict[str, Any]:
    dataset = config.get("dataset", {})
    return {
        **{name: config.get(name) for name in _FIXED},
        "model_params": with_added_fields(config.get("model_params") or {}),
        "dataset": {name: dataset.get(name) for name in _FIXED_OF_DATASET},
    }


def _differences(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Fields that differ, with both values, None for one that is absent."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(old.keys() | new.keys()):
            inner = f"{name}.{key}" if name else key
            yield from _differences(old.get(key), new.get(key), inner)
    elif old != new:
        yield name, old, new
