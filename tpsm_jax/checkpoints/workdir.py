"""The folder of a training run: which run it belongs to, and whether it has room."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from tpsm_jax.checkpoints.added_fields import with_added_fields
from tpsm_jax.checkpoints.files import CONFIG, METRICS, MODEL, OLDER, STEPS
from tpsm_jax.checkpoints.steps import finished_steps
from tpsm_jax.errors import InputError, writing
from tpsm_jax.runtime.atomic_files import replace_text
from tpsm_jax.runtime.disk import check_room
from tpsm_jax.runtime.json_files import parse_json

# Fields that cannot change between two parts of a run, because the state would have another form.
_FIXED = ("stage", "model_params", "optimizer", "freeze")
# Fields of the section `dataset` that cannot change, because samples would be missed or repeated.
_FIXED_OF_DATASET = ("mix_weights",)


def claim_workdir(workdir: Path, config: ConfigDict) -> None:
    """Makes the folder, or checks that the run in it can be resumed with this config.

    Args:
      workdir: absolute path of the run's folder.
      config: the config of the experiment.

    Raises:
      InputError: if the folder holds something else or another model's run, or cannot be written.
    """
    with writing(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        present = {entry.name for entry in workdir.iterdir()}
        if present & {MODEL, OLDER[MODEL]}:
            raise InputError(f"{workdir} is a converted checkpoint; give another --workdir")
        begun = {CONFIG} < present & {CONFIG, STEPS, METRICS}
        if not begun and (present & {CONFIG, METRICS} or any((workdir / STEPS).glob("*"))):
            raise InputError(
                f"{workdir} holds other things than a run of train.py "
                f"({', '.join(sorted(present))[:100]}); give another --workdir"
            )
        if finished_steps(workdir):
            _check_same_run(workdir, config)
        # The config is written later, so that no run has a config without this folder.
        (workdir / STEPS).mkdir(exist_ok=True)
        probe = workdir / f".{CONFIG}.partial"
        probe.write_text("")
        probe.unlink()


def record_config(workdir: Path, config: ConfigDict) -> None:
    """Writes config.json, which replaces an older one once it is complete.

    Args:
      workdir: a folder that `claim_workdir` accepted.
      config: the config of the experiment.

    Raises:
      InputError: if it cannot be written.
    """
    with writing(workdir):
        replace_text(workdir / CONFIG, json.dumps(config.to_dict(), indent=2) + "\n")


def check_disk(workdir: Path, state_bytes: int, keep: int) -> None:
    """Checks that the checkpoints to come fit on the disk.

    Args:
      workdir: a folder that `claim_workdir` accepted.
      state_bytes: size of one checkpoint.
      keep: number of latest checkpoints that are kept; the best is kept too.

    Raises:
      InputError: if they do not.
    """
    # The best is kept as well as the latest, and the next is written before the oldest is removed.
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
        before = dict(parse_json(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged, and so nobody knows what {workdir} is") from error
    now = json.loads(json.dumps(config.to_dict()))
    for field, old, new in _differences(_fixed(before), _fixed(now)):
        raise InputError(
            f"{workdir} is a run with {field} = {old!r}, and the config says {new!r}: "
            "take the same or another --workdir"
        )


def _fixed(config: Mapping[str, Any]) -> dict[str, Any]:
    dataset = config.get("dataset")
    dataset = dataset if isinstance(dataset, Mapping) else {}
    fixed = {name: config.get(name) for name in _FIXED}
    if isinstance(fixed["model_params"], Mapping):
        fixed["model_params"] = with_added_fields(fixed["model_params"])
    return {**fixed, "dataset": {name: dataset.get(name) for name in _FIXED_OF_DATASET}}


def _differences(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Lists fields that differ, with both values. A section that is absent equals an empty one."""
    if all(value is None or isinstance(value, Mapping) for value in (old, new)):
        old, new = old or {}, new or {}
        for key in sorted(old.keys() | new.keys()):
            inner = f"{name}.{key}" if name else key
            yield from _differences(old.get(key), new.get(key), inner)
    elif old != new:
        yield name, old, new
