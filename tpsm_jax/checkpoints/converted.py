"""Save and load checkpoint folders; `files` shows what is in them."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from tpsm_jax.checkpoints.files import (
    CONFIG,
    EMA_PARAMS,
    MODEL,
    STEPS,
    VARIABLES,
    VGG19,
    output_folder,
    replaced_part,
    stored_part,
)
from tpsm_jax.checkpoints.safetensors_io import save_tensors
from tpsm_jax.checkpoints.shipped import checkpoint_folder
from tpsm_jax.checkpoints.steps import find_step
from tpsm_jax.checkpoints.trees import load_tree
from tpsm_jax.errors import InputError
from tpsm_jax.models.interface import Variables
from tpsm_jax.models.registry import build_model, family_of, variable_shapes
from tpsm_jax.nn.layers import Dtype
from tpsm_jax.runtime.compilation_cache import keep, kept_path
from tpsm_jax.runtime.json_files import parse_json

# Version of `_check_against`: raise it when the check becomes stricter.
_CHECK = 2


class Checkpoint(NamedTuple):
    """A model that is ready to be applied.

    Attributes:
      config: the saved config; its tuples have become lists.
      model: an `AnimationModel` made from `config.model_params`. Networks that it works without
        are None if the checkpoint lacks them; TPSM's is `bg_predictor`.
      variables: {"params": {network: ...}, "batch_stats": {network: ...}}, JAX arrays on the
        default device. A network whose weights the checkpoint lacks is not in it.
    """

    config: ConfigDict
    model: Any
    variables: Variables


def save_checkpoint(
    folder: str | Path,
    variables: Variables,
    config: ConfigDict | Mapping[str, Any],
    *,
    vgg19: Variables | None = None,
    dtype: str | None = None,
) -> None:
    """Writes a checkpoint, which replaces an older one once it is complete.

    Args:
      folder: one that is absent or empty, or a checkpoint, whose VGG-19 is kept.
      variables: {"params": {network: ...}, "batch_stats": {network: ...}}.
      config: the whole experiment's; its `model_params` describe the model.
      vgg19: {"params": ...} of the module `VGG19`, to store in the same folder.
      dtype: "float32", "bfloat16" or "float16", in which the arrays are stored; None keeps their
        types. Stored in 2 bytes, they are rounded, and float32 again when they are read.

    Raises:
      InputError: if `folder` holds something else or cannot be written, or a number is too large
        for `dtype`. The folder is left as it was.
    """
    folder = output_folder(folder)
    plain = config.to_dict() if isinstance(config, ConfigDict) else dict(config)
    text = json.dumps(plain, indent=2) + "\n"
    with replaced_part(folder) as partial:
        (partial / CONFIG).write_text(text)
        save_tensors(partial / MODEL, variables, dtype)
        if vgg19 is not None:
            save_tensors(partial / VGG19, vgg19, dtype)
        elif (kept := stored_part(folder, VGG19)) is not None:
            if kept.is_dir():
                save_tensors(partial / VGG19, load_tree(kept))
            else:
                shutil.copyfile(kept, partial / VGG19)


def load_checkpoint(
    folder: str | Path,
    *,
    dtype: Dtype = jnp.float32,
    step: int | str = "latest",
    ema: bool = True,
) -> Checkpoint:
    """Reads a checkpoint.

    Networks that were once found to match the config are not compared again: a note of that is
    kept with the compiled programs, where those are kept.

    Args:
      folder: what `save_checkpoint` wrote, the workdir of a training run, or a name of
        `shipped.NAMES`.
      dtype: float32 or bfloat16; the model computes convolutions in it.
      step: which checkpoint of a training run to read: its number (text will do), "latest", or
        "best", the one with the lowest L1 on held-out clips, or with the lowest mean loss if the
        run did not evaluate.
      ema: use the averaged parameters if the training run keeps them.

    Returns:
      Config, model and variables. They do not depend on the devices that saved them.

    Raises:
      InputError: if it is missing, no checkpoint, of an unknown model family, or damaged, or has
        no such step.
    """
    folder = checkpoint_folder(folder)
    config = stored_config(folder)
    with _describing_model(folder):
        family = family_of(config["model_params"])
        model = build_model(config["model_params"], dtype=dtype)
    place, variables = _stored_variables(folder, step, ema)
    _check_against(config["model_params"], variables, place, folder)
    model = family.without(model, family.lost_without.keys() - variables["params"].keys())
    return Checkpoint(config, model, jax.device_put(variables))


def stored_config(folder: str | Path) -> ConfigDict:
    """Reads the config of a checkpoint, and none of its weights.

    Args:
      folder: a folder that `load_checkpoint` takes.

    Raises:
      InputError: if it is missing, no checkpoint, or damaged.
    """
    folder = checkpoint_folder(folder)
    path = folder / CONFIG
    if not folder.exists():
        kept = sorted(folder.parent.glob(f".{folder.name}.old-*"))
        hint = f"; an interrupted save left the one before it at {kept[0]}" if kept else ""
        raise InputError(f"there is no checkpoint {folder}{hint}")
    weights = stored_part(folder, MODEL) or (folder / STEPS).is_dir()
    if not (path.is_file() and weights):
        raise InputError(
            f"{folder} is not a checkpoint: it has no {CONFIG} and {MODEL} (or {VARIABLES}/, or "
            f"{STEPS}/). train.py makes one, and convert_torch_weights.py of official weights"
        )
    try:
        config = ConfigDict(parse_json(path.read_text()))
        config["model_params"]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path} is damaged; convert the weights again") from error
    return config


def _stored_variables(folder: Path, step: int | str, ema: bool) -> tuple[Path, Variables]:
    """Reads NumPy arrays, from the chosen step if the folder is a training run's.

    Returns:
      Where they lie, and {"params": ..., "batch_stats": ...}.
    """
    number = find_step(folder, step)
    if number is None:
        place = stored_part(folder, MODEL)
        assert place is not None
        return place, load_tree(place)
    place = folder / STEPS / str(number) / VARIABLES
    variables = load_tree(place)
    if ema and (averaged := place.with_name(EMA_PARAMS)).is_dir():
        variables["params"] = load_tree(averaged)
    return place, variables


@contextlib.contextmanager
def _describing_model(folder: Path) -> Iterator[None]:
    """Turns any error that a senseless config leads to into one line."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{folder / CONFIG}: {error}") from error
    except Exception as error:  # networks fail in any way on numbers that make no sense
        raise InputError(
            f"{folder / CONFIG} describes no model ({type(error).__name__}: {str(error)[:200]}); "
            "convert the weights again"
        ) from error


def _check_against(
    model_params: ConfigDict, variables: Variables, place: Path, folder: Path
) -> None:
    """Checks that every network in `variables` is whole and that no required one is absent."""
    if not isinstance(variables, dict) or not all(
        isinstance(networks, dict) for networks in variables.values()
    ):
        raise InputError(f"{place} holds no networks; convert the weights again")
    present = {network for networks in variables.values() for network in networks}
    absent = [name for name in family_of(model_params).required if name not in present]
    if absent:
        raise InputError(f"{place} has no {' and no '.join(absent)}; convert the weights again")
    found = {network: _forms_of(network, variables) for network in sorted(present)}
    # Describing the networks takes two seconds, so networks found right are not compared again.
    path = kept_path("checked", _CHECK, json.dumps(model_params.to_dict(), sort_keys=True), found)
    if path and os.path.exists(path):  # unlike Path.exists, False in an unreadable folder
        return
    with _describing_model(folder):
        shapes = variable_shapes(model_params)
    for network in found:
        if found[network] != _forms_of(network, shapes):
            raise InputError(
                f"{folder}: {network} in {place.relative_to(folder)}{'/' * place.is_dir()} "
                f"is not the one that {CONFIG} describes"
            )
    if path:
        keep(path, b"")


def _forms_of(network: str, variables: Variables) -> dict[str, Any]:
    """Maps each collection to the network's tree, its leaves (shape, whether of real numbers)."""
    return {
        collection: jax.tree.map(_form, networks[network])
        for collection, networks in variables.items()
        if network in networks
    }


def _form(leaf: Any) -> tuple[tuple[int, ...], bool]:
    kind = getattr(leaf, "dtype", np.dtype(object))
    return np.shape(leaf), bool(jnp.issubdtype(kind, jnp.floating))
