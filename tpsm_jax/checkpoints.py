"""Checkpoints on disk: a folder with a config and variables. The only file that knows Orbax.

    DIR/config.json   the config that the model was made with
    DIR/variables/    Orbax: {"params": {network: ...}, "batch_stats": {network: ...}}
    DIR/vgg19/        Orbax: {"params": ...}, the weights of the perceptual loss; optional

A folder is written beside its place and moved there when it is complete.
"""

import errno
import json
import shutil
import sys
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from ml_collections import ConfigDict

from tpsm_jax.errors import InputError
from tpsm_jax.models.motion_model import MotionModel, Variables, build_model
from tpsm_jax.nn.layers import Dtype
from tpsm_jax.replace_folder import replace_folder
from tpsm_jax.torch_weights.keys import variable_shapes
from tpsm_jax.torch_weights.names import REQUIRED_NETWORKS

_CONFIG, _VARIABLES, _VGG19 = "config.json", "variables", "vgg19"
_PARTS = {_CONFIG, _VARIABLES, _VGG19}


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
        _save_tree(partial / _VARIABLES, variables)
        if vgg19 is not None:
            _save_tree(partial / _VGG19, vgg19)
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
        _replace(folder / _VGG19, lambda partial: _save_tree(partial, variables))
    else:
        _replace(folder, lambda partial: _save_tree(partial / _VGG19, variables))


def load_checkpoint(folder: str | Path, *, dtype: Dtype = jnp.float32) -> Checkpoint:
    """Reads a checkpoint.

    Args:
      folder: that `save_checkpoint` wrote.
      dtype: float32 or bfloat16, for the model to compute convolutions in.

    Returns:
      Config, model and variables; these do not depend on the devices that saved them.

    Raises:
      InputError: if it is missing, no checkpoint, or damaged.
    """
    folder = Path(folder)
    config = _read_config(folder)
    try:
        model = build_model(config["model_params"], dtype=dtype)
        shapes = variable_shapes(config["model_params"])
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InputError(
            f"{folder / _CONFIG} describes no model ({type(error).__name__}: {error}); "
            "convert the weights again"
        ) from error
    variables = _load_tree(folder / _VARIABLES)
    _check_against(shapes, variables, folder)
    if "bg_predictor" not in variables["params"]:
        model = model.clone(bg_predictor=None)
    return Checkpoint(config, model, jax.device_put(variables))


def load_vgg19(folder: str | Path) -> Variables:
    """Reads the weights of VGG-19 that `save_checkpoint` or `save_vgg19` wrote.

    Args:
      folder: of the checkpoint.

    Returns:
      {"params": ...} for `VGG19`, JAX arrays on the default device.

    Raises:
      InputError: if there are none, or they are damaged.
    """
    folder = Path(folder)
    if not (folder / _VGG19).is_dir():
        raise InputError(
            f"{folder} has no VGG-19 weights: add them by "
            f"`python convert_torch_weights.py --vgg19 vgg19-dcbb9e9d.pth --output {folder}`"
        )
    return jax.device_put(_load_tree(folder / _VGG19))


def _read_config(folder: Path) -> ConfigDict:
    path = folder / _CONFIG
    if not folder.exists():
        kept = sorted(folder.parent.glob(f".{folder.name}.old-*"))
        hint = f"; an interrupted save left the one before it at {kept[0]}" if kept else ""
        raise InputError(f"there is no checkpoint {folder}{hint}")
    if not path.is_file() or not (folder / _VARIABLES).is_dir():
        raise InputError(
            f"{folder} is not a checkpoint: it has no {_CONFIG} and {_VARIABLES}/. "
            "convert_torch_weights.py makes one of official weights"
        )
    try:
        config = ConfigDict(json.loads(path.read_text()))
        config["model_params"]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path} is damaged; convert the weights again") from error
    return config


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


def _save_tree(path: Path, tree: Variables) -> None:
    # Orbax makes the folder itself.
    if path.exists():
        path.rmdir()
    # Told before, because Orbax tells a full disk in hundreds of lines.
    needed = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(tree))
    if needed > (free := shutil.disk_usage(path.parent).free):
        raise OSError(
            errno.ENOSPC, f"{needed >> 20} MiB are needed and {free >> 20} MiB are free on the disk"
        )
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(path, jax.device_get(tree))


def _load_tree(path: Path) -> Variables:
    """The tree as NumPy arrays, whatever devices it was saved from."""
    path = path.absolute()
    hook = sys.unraisablehook
    sys.unraisablehook = _without_closed_loops(hook)
    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            described = checkpointer.metadata(path).item_metadata.tree
            arrays = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), described)
            tree = checkpointer.restore(path, restore_args=arrays)
    except Exception as error:
        # Orbax and TensorStore raise nearly anything on damaged files.
        raise InputError(f"{path} is damaged ({type(error).__name__})") from error
    sys.unraisablehook = hook
    return tree


def _without_closed_loops(hook: Callable[..., Any]) -> Callable[..., Any]:
    """Passes on everything but one complaint.

    When one array of a damaged checkpoint fails, Orbax closes its event loop at once, and each of
    the others, still being read, complains of that: pages of noise around the one line that counts.
    """

    def quieter(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            hook(unraisable)

    return quieter


def _check_against(shapes: Variables, variables: Variables, folder: Path) -> None:
    """Makes sure that every network in `variables` is whole, and that no required one is absent."""
    if not isinstance(variables, dict) or not all(
        isinstance(networks, dict) for networks in variables.values()
    ):
        raise InputError(f"{folder / _VARIABLES} holds no networks; convert the weights again")
    present = {network for networks in variables.values() for network in networks}
    absent = [network for network in REQUIRED_NETWORKS if network not in present]
    if absent:
        raise InputError(
            f"{folder / _VARIABLES} has no {' and no '.join(absent)}; convert the weights again"
        )
    for network in sorted(present):
        if _shapes_of(network, variables) != _shapes_of(network, shapes):
            raise InputError(
                f"{folder}: {network} in {_VARIABLES}/ is not the one that {_CONFIG} describes"
            )


def _shapes_of(network: str, variables: Variables) -> dict[str, Any]:
    """Collection -> the network's tree, with shapes for leaves."""
    return {
        collection: jax.tree.map(np.shape, networks[network])
        for collection, networks in variables.items()
        if network in networks
    }
