"""What a family says about its official checkpoints, apart from its networks."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

ModelParams = Mapping[str, Any]
# Network -> key -> the tensor's shape.
Shapes = Mapping[str, Mapping[str, tuple[int, ...]]]


@dataclasses.dataclass(frozen=True)
class Layout:
    """The layout of a family's official checkpoints.

    Attributes:
      constants: (network, model_params) -> key -> float32 array: the anti-alias kernels that a
        network's state dict holds, which the config determines.
      settings: (shapes, model_params) -> setting -> (its value in a checkpoint, None if that
        cannot be seen; its value in the config): what to hint at when tensors do not fit.
      epoch: the entry with the number of epochs that were trained.
      training_state: other entries that only resuming the official training needs.
    """

    constants: Callable[[str, ModelParams], dict[str, np.ndarray]]
    settings: Callable[[Shapes, ModelParams], dict[str, tuple[Any, Any]]]
    epoch: str
    training_state: tuple[str, ...]


PLAIN = Layout(
    constants=lambda network, model_params: {},
    settings=lambda shapes, model_params: {},
    epoch="epoch",
    training_state=(),
)


def size_of(shapes: Shapes, network: str, key: str, axis: int = 0) -> int | None:
    """Looks up the size of one axis of a tensor; None where there is no such tensor or axis."""
    shape = shapes.get(network, {}).get(key, ())
    return shape[axis] if len(shape) > axis else None
