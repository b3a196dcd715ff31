"""Checkpoints on disk: a folder with a config and variables.

    DIR/config.json   the config that the model was made with
    DIR/variables/    Orbax: {"params": {network: ...}, "batch_stats": {network: ...}}
    DIR/vgg19/        Orbax: {"params": ...}, the weights of the perceptual loss; optional

A folder is written beside its place and moved there when it is complete. What training writes,
see `orbax_trees`, is read here too.
"""

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from tpsm_jax.checkpoints.orbax_io import (
    EMA_PARAMS,
    STEPS,
    VARIABLES,
    finished_steps,
    load_tree,
    metrics_path,
    save_tree,
    stored_rank,
)
from tpsm_jax.checkpoints.torch.names import REQUIRED_NETWORKS
from tpsm_jax.errors import InputError
from tpsm_jax.models.interface import Variables
from tpsm_jax.models.registry import build_model, variable_shapes
from tpsm_jax.models.tpsm import MotionModel
from tpsm_jax.nn.layers import Dtype
from tpsm_jax.runtime.compilation_cache import keep, kept_path
from tpsm_jax.runtime.replace_folder import replace_folder

_CONFIG, _VGG19 = "config.json", "vgg19"
_PARTS = {_CONFIG, VARIABLES, _VGG19}


class Checkpoint(NamedTuple):
    """A model, ready to be applied.

    Attributes:
      config: as saved; tuples have become lists.
      model: made of `config.model_params`; without its `bg_predictor`, the one network that it
        can do without, if the checkpoint has none.
      variables: {"params": {network: ...}, "batch_stats": {network: ...}}, JAX arrays on the
        default device. A network whose weights the checkpoint lacks is not in it.
    """

    config: ConfigDict
    model: MotionModel
    variables: Variables


def save_checkpoint(
    folder: str | Path,
    variables: Variables,
    config: ConfigDict | Mapping[str, Any],
    *,
    vgg19: Variables | None = None,
) -> None:
    """Writes a checkpoint, which replaces the one that is there once it is complete.

    Args:
      folder: to make. One that exists must be empty or a checkpoint; its vgg19 is kept.
      variables: {"params": {network: ...}, "batch_stats": {network: ...}}.
      config: of the whole experiment; its `model_params` make the model.
      vgg19: variables of `VGG19`, to go with it.

    Raises:
      InputError: if `folder` holds something else or cannot be written. It is left as it was.
    """
    folder = _output_folder(folder)
    plain = config.to_dict() if isinstance(config, ConfigDict) else dict(config)
    text = json.dumps(plain, indent=2) + "\n"

    def write(partial: Path) -> None:
        (partial / _CONFIG).write_text(text)
        save_tree(partial / VARIABLES, variables)
        if vgg19 is not None:
            save_tree(partial / _VGG19, vgg19)
        elif (folder / _VGG19).is_dir():
            shutil.copytree(folder / _VGG19, partial / _VGG19)

    _replace(folder, write)


def save_vgg19(folder: str | Path, variables: Variables) -> None:
    """Adds the weights of VGG-19 to a checkpoint, or makes a folder of them alone.

    Args:
      folder: a checkpoint, an empty folder, or one to make.
      variables: of `VGG19`.

    Raises:
      InputError: if `folder` holds something else or cannot be written. It is left as it was.
    """
    folder = _output_folder(folder)
    if folder.exists():
        _replace(folder / _VGG19, lambda partial: save_tree(partial, variables))
    else:
        _replace(folder, lambda partial: save_tree(partial / _VGG19, variables))


def load_checkpoint(
    folder: str | Path,
    *,
    dtype: Dtype = jnp.float32,
    step: int | str = "latest",
    ema: bool = True,
) -> Checkpoint:
    """Reads a checkpoint.

    Where compiled programs are kept (see `kept_path`), it is noted which networks were found to be
    those of the config, and they are not compared again.

    Args:
      folder: that `save_checkpoint` wrote, or the workdir of a training run.
      dtype: float32 or bfloat16, for the model to compute convolutions in.
      step: of those that a training run kept: a number (text will do), "latest", or "best": of
        least L1 of held-out clips where the run evaluated, else of least mean loss.
      ema: take the averaged parameters of a training run that keeps them.

    Returns:
      Config, model and variables; these do not depend on the devices that saved them.

    Raises:
      InputError: if it is missing, no checkpoint, or damaged, or has no such step.
    """
    folder = Path(folder)
    config = _read_config(folder)
    with _model_described(folder):
        model = build_model(config["model_params"], dtype=dtype)
    variables = _stored_variables(folder, step, ema)
    _check_against(config["model_params"], variables, folder)
    if "bg_predictor" not in variables["params"]:
        model = model.clone(bg_predictor=None)
    return Checkpoint(config, model, jax.device_put(variables))


def find_step(folder: str | Path, step: int | str = "latest") -> int | None:
    """The number of the step that `load_checkpoint` reads.

    Args:
      folder: as for `load_checkpoint`.
      step: likewise.

    Returns:
      The number; None for a converted checkpoint, which has no steps.

    Raises:
      InputError: if there is no such step.
    """
    folder = Path(folder)
    if step not in ("latest", "best") and not str(step).isdecimal():
        raise InputError(f"step {step!r} is neither a number nor 'latest' nor 'best'")
    if (folder / VARIABLES).is_dir():
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


def check_vgg19(folder: str | Path) -> None:
    """Looks whether there are weights of VGG-19; unlike reading them, this waits for no process.

    Args:
      folder: of the checkpoint.

    Raises:
      InputError: if there are none.
    """
    if not (Path(folder) / _VGG19).is_dir():
        raise InputError(
            f"{folder} has no VGG-19 weights: add them by "
            f"`python convert_torch_weights.py --vgg19 vgg19-dcbb9e9d.pth --output {folder}`"
        )


def load_vgg19(folder: str | Path) -> Variables:
    """Reads the weights of VGG-19 that `save_checkpoint` or `save_vgg19` wrote.

    To be called by all processes, because Orbax waits for all; see `check_vgg19`.

    Args:
      folder: of the checkpoint.

    Returns:
      {"params": ...} for `VGG19`, JAX arrays on the default device.

    Raises:
      InputError: if there are none, or they are damaged.
    """
    check_vgg19(folder)
    return jax.device_put(load_tree(Path(folder) / _VGG19))


def _read_config(folder: Path) -> ConfigDict:
    path = folder / _CONFIG
    if not folder.exists():
        kept = sorted(folder.parent.glob(f".{folder.name}.old-*"))
        hint = f"; an interrupted save left the one before it at {kept[0]}" if kept else ""
        raise InputError(f"there is no checkpoint {folder}{hint}")
    if not path.is_file() or not any((folder / part).is_dir() for part in (VARIABLES, STEPS)):
        raise InputError(
            f"{folder} is not a checkpoint: it has no {_CONFIG} and {VARIABLES}/ (or {STEPS}/). "
            "train.py makes one, and convert_torch_weights.py of official weights"
        )
    try:
        config = ConfigDict(json.loads(path.read_text()))
        config["model_params"]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path} is damaged; convert the weights again") from error
    return config


def _stored_variables(folder: Path, step: int | str, ema: bool) -> Variables:
    """Variables as NumPy arrays, those of a step where a training run left them."""
    number = find_step(folder, step)
    if number is None:
        return load_tree(folder / VARIABLES)
    place = folder / STEPS / str(number)
    variables = load_tree(place / VARIABLES)
    if ema and (place / EMA_PARAMS).is_dir():
        variables["params"] = load_tree(place / EMA_PARAMS)
    return variables


def _best_step(folder: Path, steps: list[int]) -> int:
    """The step whose checkpoint has the best rank."""
    ranks = {}
    for step in steps:
        try:
            found = stored_rank(folder, step)
        except (OSError, ValueError, TypeError, KeyError) as error:
            path = metrics_path(folder, step)
            raise InputError(f"{path} is damaged; choose a step by its number") from error
        if found is not None:
            ranks[step] = found
    if not ranks:
        raise InputError(f"{folder} does not know its best step yet; choose one by its number")
    return min(ranks, key=ranks.__getitem__)


def _output_folder(folder: str | Path) -> Path:
    """The folder's own absolute path, if it may be written."""
    # Orbax insists on absolute paths.
    # A link stays one: what it leads to is replaced.
    folder = Path(folder).resolve()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; a checkpoint is a folder")
    entries = {entry.name for entry in folder.iterdir()} if folder.exists() else set()
    # Hidden files are the system's, as .DS_Store.
    if others := sorted(name for name in entries - _PARTS if not name.startswith(".")):
        raise InputError(
            f"{folder} holds other things than a checkpoint ({others[0]}); "
            "give a new or an empty folder"
        )
    return folder


def _replace(place: Path, write: Callable[[Path], None]) -> None:
    """Lets `write` fill a folder beside `place`, then puts it there; see `replace_folder`."""
    partial = place.with_name(f".{place.name}.partial-{uuid.uuid4().hex[:8]}")
    try:
        partial.mkdir(parents=True)
        try:
            write(partial)
            replace_folder(partial, place)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise InputError(f"{place} cannot be written: {error.strerror or error}") from error


@contextlib.contextmanager
def _model_described(folder: Path) -> Iterator[None]:
    """Tells of whatever a config that makes no sense leads to."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InputError(
            f"{folder / _CONFIG} describes no model ({type(error).__name__}: {error}); "
            "convert the weights again"
        ) from error


def _check_against(model_params: ConfigDict, variables: Variables, folder: Path) -> None:
    """Makes sure that every network in `variables` is whole, and that no required one is absent."""
    if not isinstance(variables, dict) or not all(
        isinstance(networks, dict) for networks in variables.values()
    ):
        raise InputError(f"{folder / VARIABLES} holds no networks; convert the weights again")
    present = {network for networks in variables.values() for network in networks}
    absent = [network for network in REQUIRED_NETWORKS if network not in present]
    if absent:
        raise InputError(
            f"{folder / VARIABLES} has no {' and no '.join(absent)}; convert the weights again"
        )
    found = {network: _shapes_of(network, variables) for network in sorted(present)}
    # Describing the networks takes two seconds, so what was found right is not looked at again.
    path = kept_path("checked", json.dumps(model_params.to_dict(), sort_keys=True), found)
    if path and os.path.exists(path):  # unlike Path.exists, False in a folder of someone else's
        return
    with _model_described(folder):
        shapes = variable_shapes(model_params)
    for network in found:
        if found[network] != _shapes_of(network, shapes):
            raise InputError(
                f"{folder}: {network} in {VARIABLES}/ is not the one that {_CONFIG} describes"
            )
    if path:
        keep(path, b"")


def _shapes_of(network: str, variables: Variables) -> dict[str, Any]:
    """Collection -> the network's tree, with shapes for leaves."""
    return {
        collection: jax.tree.map(np.shape, networks[network])
        for collection, networks in variables.items()
        if network in networks
    }
