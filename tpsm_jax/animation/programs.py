"""The compiled programs that animate: encode a source, find poses, render pictures.

The `Animator`, `evaluation.Reconstructor` and the exported file all call these. A pose is a pytree
with the batch in front, see `models.interface`.
"""

import functools
from collections.abc import Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tpsm_jax.errors import InputError
from tpsm_jax.models.interface import AnimationModel, Family, Pose, Variables, without_losses
from tpsm_jax.models.registry import FAMILIES, choose_networks
from tpsm_jax.ops.pixels import to_float, to_float_exactly, to_uint8

# The modes of all families, for flags; a model's own are `AnimationModel.modes`.
MODES = tuple(
    dict.fromkeys(
        mode
        for family in FAMILIES.values()
        for network in family.networks
        for mode in network.modes
    )
)

LARGE_SOURCE = "large_source"


def available_modes(model: AnimationModel, family: Family, variables: Variables) -> list[str]:
    """The animation modes that a checkpoint has all weights for, in the model's order."""
    return [mode for mode in model.modes if not _missing(family, variables, mode)]


def animation_variables(
    model: AnimationModel, family: Family, variables: Variables, modes: Collection[str]
) -> Variables:
    """The variables that animation needs of a checkpoint.

    Args:
      model: the checkpoint's model.
      family: the family that the model is of.
      variables: all variables of the checkpoint.
      modes: the modes that they must suffice for.

    Raises:
      InputError: a mode is unknown or lacks its weights.
    """
    for mode in modes:
        if mode not in model.modes:
            raise InputError(f"there is no mode {mode!r}: choose of {', '.join(model.modes)}")
        if missing := _missing(family, variables, mode):
            others = map(repr, available_modes(model, family, variables))
            raise InputError(
                f"mode {mode!r} needs the weights of {', '.join(missing)}, which this checkpoint "
                f"does not have: use mode {' or '.join(others)}"
            )
    needed = {network.name for network in family.networks if {*network.modes} & {*modes}}
    return choose_networks(variables, needed)


def _missing(family: Family, variables: Variables, mode: str) -> list[str]:
    """The networks that a mode cannot do without and `variables` lack."""
    return [
        network.name
        for network in family.networks
        if mode in network.modes
        and not network.can_be_none
        and network.name not in variables["params"]
    ]


def kernel_types(model: AnimationModel, variables: Variables) -> dict[str, Any]:
    """Network -> the type that it computes convolutions in; those without a `dtype` left out."""
    networks = {name: getattr(model, name) for name in variables["params"]}
    return {
        name: jnp.dtype(network.dtype)
        for name, network in networks.items()
        if hasattr(network, "dtype")
    }


@functools.partial(jax.jit, static_argnums=0)
def convert_kernels(model: AnimationModel, variables: Variables) -> Variables:
    """Convolutions' kernels in the types of `kernel_types`, or every frame would convert them."""
    types = kernel_types(model, variables)

    def convert(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
        network = path[1].key
        return leaf.astype(types[network]) if network in types and leaf.ndim == 4 else leaf

    return jax.tree.map_with_path(convert, variables)


@functools.partial(jax.jit, static_argnums=0)
def encode_source(model: Any, variables: Variables, source: jax.Array) -> dict[str, Any]:
    """[1, H, W, 3], uint8 or float32 in [0, 1] -> what `AnimationModel.encode_source` returns."""
    return model.apply(variables, to_float_exactly(source), method="encode_source")


@functools.partial(jax.jit, static_argnums=0)
def find_keypoints(model: Any, variables: Variables, frames: jax.Array) -> Pose:
    """[B, H, W, 3], uint8 or float32 in [0, 1] -> the pose in each."""
    # Compiled apart from `render`: the first frame and `find_best_frame` need it alone.
    return model.apply(variables, to_float_exactly(frames), method="keypoints")


@functools.partial(jax.jit, static_argnums=0, static_argnames=("mode", "dtype"))
def render(
    model: Any,
    variables: Variables,
    encoded: dict[str, Any],
    driving: Pose,
    motion: tuple[Any, ...],
    *,
    mode: str,
    dtype: Any,
) -> jax.Array:
    """Pictures of a source in driving poses.

    Args:
      model: the checkpoint's model.
      variables: variables from `animation_variables`.
      encoded: the source that `encode_source` encoded; with a larger picture of it, [1, h, w, 3]
        under `LARGE_SOURCE`, the result is as large.
      driving: the poses of B frames, as `find_keypoints` found them.
      motion: the motion, as `animate` takes it.
      mode: a mode of `Animator`.
      dtype: uint8 or float32, see `Animator`.

    Returns:
      [B, H, W, 3], or [B, h, w, 3].
    """
    outputs = animate(model, variables, encoded, driving, motion, mode=mode)
    image = outputs["prediction"].astype(jnp.float32)
    if LARGE_SOURCE in encoded:
        large = to_float_exactly(encoded[LARGE_SOURCE])
        image = model.apply(variables, outputs, large, method="enlarge")
    return to_uint8(image) if np.dtype(dtype) == np.uint8 else image


@functools.partial(jax.jit, static_argnums=0)
def reconstruct(
    model: Any, variables: Variables, encoded: dict[str, Any], frames: jax.Array
) -> dict[str, Any]:
    """Every output that a picture may show, of uint8 driving frames [B, H, W, 3]."""
    outputs = model.apply(variables, encoded, to_float(frames), method="reconstruct")
    return without_losses(model, outputs)


def animate(
    model: Any,
    variables: Variables,
    encoded: dict[str, Any],
    driving: Pose,
    motion: tuple[Any, ...],
    *,
    mode: str,
) -> dict[str, Any]:
    """Gives a source the poses that a mode makes of the driving ones. A function to be compiled.

    Args:
      model: the checkpoint's model.
      variables: variables from `animation_variables`.
      encoded: the source that `encode_source` encoded.
      driving: the poses of B frames.
      motion: for mode 'relative' the initial pose, without a batch, and the scale []; any tuple
        for other modes.
      mode: a mode of `Animator`.

    Returns:
      As `AnimationModel.generate`; "kp_driving" is the pose that was asked for.
    """
    source = encoded["kp_source"]
    if mode == "relative":
        initial, scale = motion
        initial = jax.tree.map(lambda leaf: leaf[None], initial)
        pose = model.apply(variables, source, driving, initial, scale, method="relative")
    elif mode == "avd":
        sources = jax.tree.map(lambda one, many: jnp.broadcast_to(one, many.shape), source, driving)
        pose = model.apply(variables, sources, driving, method="disentangle")
    else:
        pose = driving
    return model.apply(variables, encoded, pose, method="generate")
