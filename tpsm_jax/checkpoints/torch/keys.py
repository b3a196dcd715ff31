"""The rule by which a variable is called in the official checkpoints, and how its array lies there.

Modules are named after the checkpoint, so a rule suffices: a trailing `_3` of a module's name is an
index of PyTorch (`down_blocks_0` is `down_blocks.0`), and kernels are transposed. Two kinds of
tensors in a checkpoint are no variables: `num_batches_tracked`, which PyTorch's BatchNorm counts
and does not use at a fixed momentum, and the constant anti-alias kernel of dense motion.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tpsm_jax.models.interface import Variables
from tpsm_jax.models.registry import variable_shapes
from tpsm_jax.models.vgg19 import VGG19
from tpsm_jax.ops.resample import antialias_kernel

_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
# By the number of axes: HWIO -> OIHW, [in, out] -> [out, in], and back.
_AXES_TO_TORCH = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}
_AXES_FROM_TORCH = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}

_COUNTER = "num_batches_tracked"


class Leaf(NamedTuple):
    """A variable and the tensor that it is in a checkpoint.

    Attributes:
      collection: "params" or "batch_stats".
      path: names of its modules, without the network's, and its own.
      key: in the network's state dict.
      shape: of the tensor.
    """

    collection: str
    path: tuple[str, ...]
    key: str
    shape: tuple[int, ...]


def torch_key(path: tuple[str, ...]) -> str:
    """The key of a variable: ("down_blocks_0", "conv", "kernel") -> "down_blocks.0.conv.weight"."""
    modules = [re.sub(r"_(\d+)$", r".\1", name) for name in path[:-1]]
    return ".".join([*modules, _LEAVES[path[-1]]])


def array_to_torch(array: np.ndarray) -> np.ndarray:
    """A variable as PyTorch lays it out (a view)."""
    return array.transpose(_AXES_TO_TORCH[array.ndim])


def array_from_torch(tensor: np.ndarray) -> np.ndarray:
    """A tensor as Flax lays it out (a view)."""
    return tensor.transpose(_AXES_FROM_TORCH[tensor.ndim])


def network_leaves(model_params: Mapping[str, Any]) -> dict[str, list[Leaf]]:
    """Every variable of every network that a config describes.

    Args:
      model_params: as for `tpsm_jax.models.registry.build_model`.

    Returns:
      Network -> its leaves.
    """
    shapes = variable_shapes(model_params)
    return {name: _leaves(shapes, name) for name in sorted(shapes["params"])}


def vgg19_leaves() -> list[Leaf]:
    """Every variable of `VGG19`."""
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


def constant_tensors(network: str, model_params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Tensors of a network's state dict that the config determines.

    Args:
      network: its name.
      model_params: as for `network_leaves`.

    Returns:
      Key -> float32 array; the anti-alias kernel [C, 1, k, k] of the dense motion network.
    """
    scale = model_params["dense_motion_params"]["scale_factor"]
    if network != "dense_motion_network" or scale == 1:
        return {}
    channels = model_params["common_params"]["num_channels"]
    return {"down.weight": np.tile(antialias_kernel(scale), (channels, 1, 1, 1))}


def counter_keys(leaves: list[Leaf]) -> list[str]:
    """Keys of the counters that PyTorch keeps beside running means."""
    means = [leaf.key for leaf in leaves if leaf.key.endswith(".running_mean")]
    return [key.removesuffix("running_mean") + _COUNTER for key in means]


def torch_shapes(model_params: Mapping[str, Any]) -> dict[str, dict[str, tuple[int, ...]]]:
    """Every tensor of a complete official checkpoint of a config.

    Args:
      model_params: as for `network_leaves`.

    Returns:
      Network -> key -> shape.
    """
    shapes = {}
    for network, leaves in network_leaves(model_params).items():
        shapes[network] = {leaf.key: leaf.shape for leaf in leaves}
        shapes[network] |= dict.fromkeys(counter_keys(leaves), ())
        constants = constant_tensors(network, model_params)
        shapes[network] |= {key: array.shape for key, array in constants.items()}
    return shapes
