"""Official state dicts to Flax variables, reporting every difference, and back."""

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from tpsm_jax.checkpoints.torch.keys import (
    Leaf,
    array_from_torch,
    array_to_torch,
    counter_keys,
    network_leaves,
    vgg19_leaves,
)
from tpsm_jax.checkpoints.torch.layouts import Layout, layout_of
from tpsm_jax.checkpoints.torch.unpickling import shown
from tpsm_jax.errors import InputError
from tpsm_jax.models.interface import Family, Variables
from tpsm_jax.models.registry import family_of

_EPOCH = "epoch"  # the entry with the number of epochs that were trained
_NAMES_SHOWN = 3

State = Mapping[str, Any]


class ImportReport(NamedTuple):
    """What was found in a checkpoint.

    Attributes:
      networks: imported networks: name -> (tensors, numbers in them).
      absent: optional networks that the config describes and the checkpoint lacks.
      ignored: entries of the checkpoint from which nothing was imported, without training state.
      not_finite: names of tensors that hold NaN or infinite numbers.
      epoch: the epoch after which it was saved, or None.
    """

    networks: dict[str, tuple[int, int]]
    absent: tuple[str, ...]
    ignored: tuple[str, ...]
    not_finite: tuple[str, ...]
    epoch: int | None


class _Differences(NamedTuple):
    """Names of tensors that do not fit, grouped by what is wrong."""

    missing: list[str]
    unexpected: list[str]
    misshapen: list[str]

    def __str__(self) -> str:
        kinds = zip(self, ("missing", "unexpected", "of another shape or type"), strict=True)
        return "; ".join(_count(names, what) for names, what in kinds if names)


def _count(names: list[str], what: str) -> str:
    listed = ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
    return f"{len(names)} tensor{'s are' if len(names) > 1 else ' is'} {what} ({listed})"


def variables_from_torch(
    checkpoint: Any, model_params: Mapping[str, Any]
) -> tuple[Variables, ImportReport]:
    """Converts an official checkpoint to variables.

    Args:
      checkpoint: what `read_torch_file` returned: network -> state dict, and perhaps training
        state, such as `epoch` and the optimizers'. Keys may begin with `module.`, as DataParallel
        writes them.
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
    states = _network_states(checkpoint, leaves, family)
    differences = _Differences([], [], [])
    for network, state in states.items():
        constants = layout.constants(network, model_params)
        optional = counter_keys(leaves[network])
        expected = {leaf.key: leaf.shape for leaf in leaves[network]}
        expected |= {key: array.shape for key, array in constants.items()}
        _compare(network, state, expected, optional, differences)
    if str(differences):
        hints = "; ".join(_hints(states, layout, model_params))
        raise InputError(
            f"the checkpoint does not fit the config: {differences}"
            + (f". Is it another config's? {hints}" if hints else "")
        )
    for network, state in states.items():
        _check_constants(network, state, layout.constants(network, model_params))
    arrays = {
        (leaf.collection, network, *leaf.path): _float32(state[leaf.key])
        for network, state in states.items()
        for leaf in leaves[network]
    }
    variables = {"params": {}, "batch_stats": {}, **unflatten_dict(arrays)}
    return variables, _report(checkpoint, states, leaves, family, layout)


def vgg19_from_torch(checkpoint: Any) -> Variables:
    """Converts torchvision's `vgg19-dcbb9e9d.pth` to variables of `VGG19`.

    Args:
      checkpoint: what `read_torch_file` returned. Layers after relu5_1 are left out.

    Returns:
      {"params": ...}, float32.

    Raises:
      InputError: if a tensor is missing, unexpected or of another shape.
    """
    if not isinstance(checkpoint, dict) or "features.0.weight" not in checkpoint:
        raise InputError(
            "these are not torchvision's VGG-19 weights (vgg19-dcbb9e9d.pth): "
            f"there is no features.0.weight{_entries(checkpoint)}"
        )
    leaves = vgg19_leaves()
    expected = {leaf.key: leaf.shape for leaf in leaves}
    last = max(int(key.split(".")[1]) for key in expected)
    used = {key: value for key, value in checkpoint.items() if _feature_index(key) <= last}
    differences = _Differences([], [], [])
    _compare("vgg19", used, expected, (), differences)
    if str(differences):
        raise InputError(f"these are not torchvision's VGG-19 weights: {differences}")
    return unflatten_dict(
        {(leaf.collection, *leaf.path): _float32(used[leaf.key]) for leaf in leaves}
    )


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


def _feature_index(key: object) -> float:
    found = re.match(r"features\.(\d+)\.", str(key))
    return int(found[1]) if found else float("inf")


def _network_states(checkpoint: Any, networks: Iterable[str], family: Family) -> dict[str, State]:
    """Picks the state dicts of known networks and drops the prefix of DataParallel."""
    states: dict[str, State] = {}
    for network in networks:
        state = checkpoint.get(network) if isinstance(checkpoint, dict) else None
        if isinstance(state, dict):
            wrapped = bool(state) and all(str(key).startswith("module.") for key in state)
            start = len("module.") if wrapped else 0
            states[network] = {str(key)[start:]: value for key, value in state.items()}
    absent = [network for network in family.required if network not in states]
    if absent:
        raise InputError(f"the checkpoint has no {' and no '.join(absent)}{_entries(checkpoint)}")
    return states


def _entries(checkpoint: Any) -> str:
    if not isinstance(checkpoint, dict):
        return f" (it is {shown(checkpoint)}, not a dictionary)"
    names = [shown(str(key)) for key in list(checkpoint)[:_NAMES_SHOWN]]
    return f" (its entries: {', '.join(names)}{', ...' if len(checkpoint) > len(names) else ''})"


def _compare(
    network: str,
    state: State,
    expected: Mapping[str, tuple[int, ...]],
    optional: Iterable[str],
    differences: _Differences,
) -> None:
    known = {*expected, *optional}
    for key, shape in expected.items():
        if key not in state:
            differences.missing.append(f"{network}.{key}")
            continue
        value = state[key]
        if not isinstance(value, np.ndarray):
            differences.misshapen.append(f"{network}.{key}: no tensor")
        elif value.shape != shape:
            differences.misshapen.append(
                f"{network}.{key}: {list(value.shape)} instead of {list(shape)}"
            )
        elif value.dtype.kind != "f":
            differences.misshapen.append(f"{network}.{key}: {value.dtype} instead of float32")
    differences.unexpected.extend(f"{network}.{shown(key)}" for key in state if key not in known)


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


def _float32(tensor: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # a float64 that overflows is reported as not finite
        return np.array(array_from_torch(tensor), np.float32, order="C")


def _report(
    checkpoint: dict[str, Any],
    states: Mapping[str, State],
    leaves: Mapping[str, list[Leaf]],
    family: Family,
    layout: Layout,
) -> ImportReport:
    sizes = {}
    not_finite = []
    for network, state in states.items():
        tensors = {key: value for key, value in state.items() if isinstance(value, np.ndarray)}
        sizes[network] = (len(tensors), sum(value.size for value in tensors.values()))
        with np.errstate(over="ignore"):
            not_finite += [
                f"{network}.{leaf.key}"
                for leaf in leaves[network]
                if not np.isfinite(tensors[leaf.key].astype(np.float32, copy=False)).all()
            ]
    epoch = checkpoint.get(_EPOCH)
    known = {*states, _EPOCH, *layout.training_state}
    return ImportReport(
        networks=sizes,
        absent=tuple(name for name in family.lost_without if name in leaves and name not in states),
        ignored=tuple(shown(str(key)) for key in checkpoint if key not in known),
        not_finite=tuple(not_finite),
        # Python refuses to print numbers of thousands of digits.
        epoch=epoch if type(epoch) is int and abs(epoch) < 2**63 else None,
    )
