"""The rule that turns the name and axes of a variable into those of an official checkpoint.

Modules are named after the checkpoint, so a rule suffices: a trailing `_3` of a module's name is an
index of PyTorch (`down_blocks_0` is `down_blocks.0`), and kernels are transposed. Two kinds of
tensors in a checkpoint are no variables: `num_batches_tracked`, which PyTorch's BatchNorm counts
and does not use at a fixed momentum, and the constants of the family's layout.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tpsm_jax.checkpoints.torch.layouts import layout_of
from tpsm_jax.models.interface import Variables
from tpsm_jax.models.registry import variable_shapes
from tpsm_jax.models.vgg19 import VGG19

_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
# Number of axes -> their new order: HWIO -> OIHW, [in, out] -> [out, in], and back.
_AXES_TO_TORCH = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}
_AXES_FROM_TORCH = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}

_COUNTER = "num_batches_tracked"


class Leaf(NamedTuple):
    """A variable and its tensor in a checkpoint.

    Attributes:
      collection: "params" or "batch_stats".
      path: names of its modules, without the network's, and its own.
      key: the tensor's key in the network's state dict.
      shape: the tensor's shape.
    """

    collection: str
    path: tuple[str, ...]
    key: str
    shape: tuple[int, ...]


def torch_key(path: tuple[str, ...]) -> str:
    """Makes the key of a variable: ("block_0", "conv", "kernel") -> "block.0.conv.weight"."""
    modules = [re.sub(r"_(\d+)$", r".\1", name) for name in path[:-1]]
    return ".".join([*modules, _LEAVES[path[-1]]])


def array_to_torch(array: np.ndarray) -> np.ndarray:
    """Views a variable in PyTorch's order of axes, [h, w, I, O] as [O, I, h, w]."""
    return array.transpose(_AXES_TO_TORCH[array.ndim])


def array_from_torch(tensor: np.ndarray) -> np.ndarray:
    """Views a tensor in Flax's order of axes, the inverse of `array_to_torch`."""
    return tensor.transpose(_AXES_FROM_TORCH[tensor.ndim])


def network_leaves(model_params: Mapping[str, Any]) -> dict[str, list[Leaf]]:
    """Lists every variable of every network that a config describes.

    Args:
      model_params: a config's section, as for `tpsm_jax.models.registry.build_model`.

    Returns:
      Network -> its leaves.
    """
    shapes = variable_shapes(model_params)
    return {name: _leaves(shapes, name) for name in sorted(shapes["params"])}


def vgg19_leaves() -> list[Leaf]:
    """Lists every variable of `VGG19`."""
    shapes = jax.eval_shape(
        lambda rng: VGG19().init(rng, jnp.zeros((1, 32, 32, 3))), jax.random.key(0)
    )
    return _leaves(shapes)


def _leaves(shapes: Variables, network: str | None = None) -> list[Leaf]:
    leaves = []
    for collection, trees in shapes.items():
        tree = trees if network is None else trees.get(network, {})
        for keys, leaf in jax.tree_util.tree_leaves_with_path(tree):
            path = tuple(key.key for key in keys)
            shape = tuple(leaf.shape[axis] for axis in _AXES_TO_TORCH[leaf.ndim])
            leaves.append(Leaf(collection, path, torch_key(path), shape))
    return leaves


def counter_keys(leaves: list[Leaf]) -> list[str]:
    """Lists the keys of the counters that PyTorch keeps next to running means."""
    means = [leaf.key for leaf in leaves if leaf.key.endswith(".running_mean")]
    return [key.removesuffix("running_mean") + _COUNTER for key in means]


def torch_shapes(model_params: Mapping[str, Any]) -> dict[str, dict[str, tuple[int, ...]]]:
    """Lists every tensor in a complete official checkpoint of a config.

    Args:
      model_params: a config's section, as for `network_leaves`.

    Returns:
      Network -> key -> shape.
    """
    layout = layout_of(model_params)
    shapes = {}
    for network, leaves in network_leaves(model_params).items():
        shapes[network] = {leaf.key: leaf.shape for leaf in leaves}
        shapes[network] |= dict.fromkeys(counter_keys(leaves), ())
        constants = layout.constants(network, model_params)
        shapes[network] |= {key: array.shape for key, array in constants.items()}
    return shapes
