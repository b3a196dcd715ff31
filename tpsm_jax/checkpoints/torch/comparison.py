"""Compare a state dict with the tensors that a network has."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from tpsm_jax.checkpoints.torch.keys import array_from_torch
from tpsm_jax.checkpoints.torch.records import Opaque
from tpsm_jax.checkpoints.torch.states import State
from tpsm_jax.errors import shown

_NAMES_SHOWN = 3


class Differences(NamedTuple):
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


def compare(
    network: str,
    state: State,
    expected: Mapping[str, tuple[int, ...]],
    optional: Iterable[str],
    differences: Differences,
) -> None:
    """Compares a state dict with what a network has, and adds to the differences.

    Args:
      network: its name, for the message.
      state: key -> value.
      expected: key -> shape of each floating-point tensor that there must be.
      optional: keys that there may be.
      differences: lists to add to.
    """
    known = {*expected, *optional}
    for key, shape in expected.items():
        if key not in state:
            differences.missing.append(f"{network}.{key}")
            continue
        value = state[key]
        if not isinstance(value, np.ndarray):
            kind = shown(value.name) if isinstance(value, Opaque) else "no tensor"
            differences.misshapen.append(f"{network}.{key}: {kind}")
        elif value.shape != shape:
            differences.misshapen.append(
                f"{network}.{key}: {list(value.shape)} instead of {list(shape)}"
            )
        elif value.dtype.kind != "f":
            differences.misshapen.append(f"{network}.{key}: {value.dtype} instead of float32")
    differences.unexpected.extend(f"{network}.{shown(key)}" for key in state if key not in known)


def float32(tensor: np.ndarray) -> np.ndarray:
    """Copies a tensor to float32, in Flax's order of axes."""
    with np.errstate(over="ignore"):  # a float64 that overflows is reported as not finite
        return np.array(array_from_torch(tensor), np.float32, order="C")
