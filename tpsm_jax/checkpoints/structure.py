"""The parts that a run's state is saved in, and whether saved parts fit the state of a config."""

from pathlib import Path
from typing import Any, Protocol, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp

from tpsm_jax.checkpoints.files import EMA_PARAMS, VARIABLES
from tpsm_jax.errors import InputError

OPT_STATE = "opt_state"

LeafTypes = dict[str, tuple[tuple[int, ...], str]]  # path -> shape, name of the type


class State(Protocol):
    """What a checkpoint keeps of a run, such as a `flax.struct.PyTreeNode` with these fields.

    Attributes:
      step: [] int32.
      params: {network: ...}.
      batch_stats: {network: ...}.
      opt_state: {optimizer: its state}.
      ema_params: averaged `params`, or None.
    """

    step: Any
    params: Any
    batch_stats: Any
    opt_state: Any
    ema_params: Any

    def replace(self, **fields: Any) -> Any:
        """Returns a copy with other values in some fields."""


StateT = TypeVar("StateT", bound=State)


def parts_of(state: State) -> dict[str, Any]:
    """Maps the name of each folder to the tree in it."""
    parts = {
        VARIABLES: {"params": state.params, "batch_stats": state.batch_stats},
        OPT_STATE: state.opt_state,
    }
    return parts if state.ema_params is None else {**parts, EMA_PARAMS: state.ema_params}


def leaf_types(tree: Any) -> LeafTypes:
    """Lists shapes and types; optax's tuples by position and name, as Orbax stores them."""
    leaves = jax.tree.leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): (
            tuple(leaf.shape),
            np.dtype(leaf.dtype).name,
        )
        for path, leaf in leaves
    }


def stored_leaf_types(path: Path) -> LeafTypes:
    """Lists shapes and types of a tree on disk, without reading its arrays.

    Args:
      path: a folder that Orbax wrote.

    Raises:
      Exception: the tree is damaged; Orbax raises many kinds.
    """
    with ocp.PyTreeCheckpointer() as checkpointer:
        return leaf_types(checkpointer.metadata(path).item_metadata.tree)


def check_structure(place: Path, part: str, wanted: LeafTypes, found: LeafTypes) -> None:
    """Checks that a part of a saved state has the structure that the config makes.

    Args:
      place: the step's folder.
      part: name of the folder in it.
      wanted: leaves that the config makes.
      found: leaves on disk.

    Raises:
      InputError: naming the first leaf that differs.
    """
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            there, here = (
                "x".join(map(str, entry[0])) + f" {entry[1]}" if entry else "not there"
                for entry in (found.get(name), wanted.get(name))
            )
            raise InputError(
                f"{place} is of another config: {part}/{name} is {there.strip()} in it and "
                f"{here.strip()} by this one; take the same config or another --workdir"
            )
