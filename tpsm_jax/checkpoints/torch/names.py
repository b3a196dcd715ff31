"""Official state dicts to Flax variables, reporting every difference, and back."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from tpsm_jax.checkpoints.torch.comparison import Differences, compare, float32
from tpsm_jax.checkpoints.torch.keys import (
    Leaf,
    array_to_torch,
    counter_keys,
    network_leaves,
)
from tpsm_jax.checkpoints.torch.layouts import Layout, layout_of
from tpsm_jax.checkpoints.torch.states import (
    Networks,
    State,
    entries_of,
    find_networks,
    listed,
)
from tpsm_jax.errors import InputError
from tpsm_jax.models.interface import Family, Variables
from tpsm_jax.models.registry import family_of

_EPOCH = "epoch"  # the entry with the number of epochs that were trained


class ImportReport(NamedTuple):
    """What was found in a checkpoint.

    Attributes:
      networks: imported networks: name -> (tensors, numbers in them).
      absent: optional networks that the config describes and the checkpoint lacks.
      ignored: entries of the checkpoint from which nothing was imported, with the names of objects
        that were not read. The state of training is left out unless it holds such objects.
      not_finite: names of tensors that hold NaN or infinite numbers.
      epoch: the epoch after which it was saved, or None.
      place: the entry of the checkpoint that holds the networks; "" where they lie at the top.
    """

    networks: dict[str, tuple[int, int]]
    absent: tuple[str, ...]
    ignored: tuple[str, ...]
    not_finite: tuple[str, ...]
    epoch: int | None
    place: str


def variables_from_torch(
    checkpoint: Any, model_params: Mapping[str, Any]
) -> tuple[Variables, ImportReport]:
    """Converts an official checkpoint to variables.

    Args:
      checkpoint: what `read_torch_file` returned: network -> state dict, and perhaps training
        state, such as `epoch` and the optimizers'. `tpsm_jax.checkpoints.torch.states` lists the
        other forms that it may have.
      model_params: the section of the config that it was trained with.

    Returns:
      {"params": {network: ...}, "batch_stats": {network: ...}}, float32, with the networks that
      the checkpoint has; and a report.

    Raises:
      InputError: if there is no such family, a required network is absent, or a tensor is missing,
        unexpected or of another shape than the config says.
    """
    family, layout = family_of(model_params), layout_of(model_params)
    leaves = network_leaves(model_params)
    found = _find_networks(checkpoint, leaves, family)
    states = found.states
    differences = Differences([], [], [])
    for network, state in states.items():
        constants = layout.constants(network, model_params)
        optional = counter_keys(leaves[network])
        expected = {leaf.key: leaf.shape for leaf in leaves[network]}
        expected |= {key: array.shape for key, array in constants.items()}
        compare(network, state, expected, optional, differences)
    if str(differences):
        hints = "; ".join(_hints(states, layout, model_params))
        raise InputError(
            f"the checkpoint does not fit the config: {differences}"
            + (f". Is it another config's? {hints}" if hints else "")
        )
    for network, state in states.items():
        _check_constants(network, state, layout.constants(network, model_params))
    arrays = {
        (leaf.collection, network, *leaf.path): float32(state[leaf.key])
        for network, state in states.items()
        for leaf in leaves[network]
    }
    variables = {"params": {}, "batch_stats": {}, **unflatten_dict(arrays)}
    return variables, _report(found, leaves, family, layout)


def torch_from_variables(
    variables: Variables, model_params: Mapping[str, Any]
) -> dict[str, OrderedDict[str, np.ndarray]]:
    """Converts variables to state dicts that the official networks load with `strict=True`.

    Args:
      variables: {"params": {network: ...}, "batch_stats": {network: ...}}.
      model_params: a config's section, as for `network_leaves`.

    Returns:
      Network -> key -> array, for the networks that are in `variables`. Counters are 0.
    """
    layout = layout_of(model_params)
    arrays = flatten_dict(variables)
    checkpoint = {}
    for network, leaves in network_leaves(model_params).items():
        if network not in variables["params"]:
            continue
        state = OrderedDict(layout.constants(network, model_params))
        for leaf in leaves:
            array = np.asarray(arrays[leaf.collection, network, *leaf.path])
            state[leaf.key] = array_to_torch(array)
        for key in counter_keys(leaves):
            state[key] = np.zeros((), np.int64)
        checkpoint[network] = state
    return checkpoint


def _find_networks(checkpoint: Any, networks: Iterable[str], family: Family) -> Networks:
    """Finds the state dicts of all networks and checks that no required one is absent."""
    found = find_networks(checkpoint, set(networks))
    states = {} if found is None else found.states
    absent = [network for network in family.required if network not in states]
    if found is None or absent:
        raise InputError(f"the checkpoint has no {' and no '.join(absent)}{entries_of(checkpoint)}")
    return found


def _check_constants(network: str, state: State, constants: Mapping[str, np.ndarray]) -> None:
    for key, expected in constants.items():
        # Wide enough for checkpoints that were stored in half precision.
        if not np.allclose(state[key], expected, rtol=1e-2, atol=1e-6):
            raise InputError(
                f"{network}.{key} is not the anti-alias kernel of the config's scale_factor: "
                "the checkpoint is of another model"
            )


def _hints(
    states: Mapping[str, State], layout: Layout, model_params: Mapping[str, Any]
) -> list[str]:
    """Lists settings of the config that the checkpoint's shapes contradict."""
    shapes = {
        network: {
            key: value.shape if isinstance(value, np.ndarray) else ()
            for key, value in state.items()
        }
        for network, state in states.items()
    }
    return [
        f"{setting} is {has} in the checkpoint and {wanted} in the config"
        for setting, (has, wanted) in layout.settings(shapes, model_params).items()
        if has is not None and has != wanted
    ]


def _report(
    found: Networks, leaves: Mapping[str, list[Leaf]], family: Family, layout: Layout
) -> ImportReport:
    sizes = {}
    not_finite = []
    for network, state in found.states.items():
        tensors = {key: value for key, value in state.items() if isinstance(value, np.ndarray)}
        sizes[network] = (len(tensors), sum(value.size for value in tensors.values()))
        with np.errstate(over="ignore"):
            not_finite += [
                f"{network}.{leaf.key}"
                for leaf in leaves[network]
                if not np.isfinite(tensors[leaf.key].astype(np.float32, copy=False)).all()
            ]
    prefix = f"{found.place}." if found.place else ""
    epoch = found.others.get(_EPOCH, found.others.get(prefix + _EPOCH))
    training_state = {_EPOCH, *layout.training_state}
    training_state |= {prefix + name for name in training_state}
    return ImportReport(
        networks=sizes,
        absent=tuple(name for name in family.lost_without if name in leaves and name not in sizes),
        ignored=listed(found.others, training_state),
        not_finite=tuple(not_finite),
        # Python refuses to print numbers of thousands of digits.
        epoch=epoch if type(epoch) is int and abs(epoch) < 2**63 else None,
        place=found.place,
    )
