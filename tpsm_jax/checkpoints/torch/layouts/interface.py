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
    """The layout of a family's official checkpoints; by default state dicts, and nothing else.

    Attributes:
      constants: (network, model_params) -> key -> float32 array: the anti-alias kernels that a
        network's state dict holds, which the config determines.
      settings: (shapes, model_params) -> setting -> (its value in a checkpoint, None if that
        cannot be seen; its value in the config): what to hint at when tensors do not fit.
      training_state: entries, besides `epoch`, that only resuming the official training needs.
    """

    constants: Callable[[str, ModelParams], dict[str, np.ndarray]] = lambda *_: {}
    settings: Callable[[Shapes, ModelParams], dict[str, tuple[Any, Any]]] = lambda *_: {}
    training_state: tuple[str, ...] = ()


def size_of(shapes: Shapes, network: str, key: str, axis: int = 0) -> int | None:
    """Looks up the size of one axis of a tensor; None where there is no such tensor or axis."""
    shape = shapes.get(network, {}).get(key, ())
    return shape[axis] if len(shape) > axis else None
