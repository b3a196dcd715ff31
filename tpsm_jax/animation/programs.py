"""What is compiled to animate: the source encoded, keypoints found, pictures rendered."""

import functools
from collections.abc import Collection
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from tpsm_jax.animation.keypoints import relative_keypoints
from tpsm_jax.errors import InputError
from tpsm_jax.models.interface import Variables
from tpsm_jax.models.tpsm import MotionModel

Mode = Literal["relative", "standard", "avd"]
# What 8-bit values stand for. Not by a division, in place of which XLA multiplies, which rounds.
_LEVELS = (np.arange(256) / 255).astype(np.float32)


def animation_variables(variables: Variables, modes: Collection[str]) -> Variables:
    """Those of a checkpoint's variables that animation needs.

    Args:
      variables: of the checkpoint.
      modes: what it is to be able to do.

    Raises:
      InputError: a mode is unknown or lacks its weights.
    """
    for mode in modes:
        if mode not in get_args(Mode):
            raise InputError(f"there is no mode {mode!r}: choose of {', '.join(get_args(Mode))}")
    if "avd" in modes and "avd_network" not in variables["params"]:
        raise InputError(
            "mode 'avd' needs the weights of avd_network, which this checkpoint does not "
            "have: use mode 'relative' or 'standard'"
        )
    unused = {"bg_predictor"} | ({"avd_network"} if "avd" not in modes else set())
    return {
        collection: {name: tree for name, tree in networks.items() if name not in unused}
        for collection, networks in variables.items()
    }


def kernel_types(model: MotionModel, variables: Variables) -> dict[str, Any]:
    """Network -> the type that it computes convolutions in; those without a `dtype` left out."""
    networks = {name: getattr(model, name) for name in variables["params"]}
    return {
        name: jnp.dtype(network.dtype)
        for name, network in networks.items()
        if hasattr(network, "dtype")
    }


@functools.partial(jax.jit, static_argnums=0)
def convert_kernels(model: MotionModel, variables: Variables) -> Variables:
    """Convolutions' kernels in the types of `kernel_types`, or every frame would convert them."""
    types = kernel_types(model, variables)

    def convert(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
        network = path[1].key
        return leaf.astype(types[network]) if network in types and leaf.ndim == 4 else leaf

    return jax.tree.map_with_path(convert, variables)


@functools.partial(jax.jit, static_argnums=0)
def encode_source(model: MotionModel, variables: Variables, source: jax.Array) -> dict[str, Any]:
    """[1, H, W, 3] float32 in [0, 1] -> what `MotionModel.encode_source` returns."""
    return model.apply(variables, source, method="encode_source")


@functools.partial(jax.jit, static_argnums=0)
def find_keypoints(model: MotionModel, variables: Variables, frames: jax.Array) -> jax.Array:
    """[B, H, W, 3], uint8 or float32 in [0, 1] -> [B, N, 2]."""
    # Compiled apart from `render`: the first frame and `find_best_frame` need it alone.
    if frames.dtype == jnp.uint8:
        frames = jnp.asarray(_LEVELS)[frames]
    return model.apply(variables, frames, method=lambda model, image: model.kp_detector(image))


@functools.partial(jax.jit, static_argnums=0, static_argnames=("mode", "dtype"))
def render(
    model: MotionModel,
    variables: Variables,
    encoded: dict[str, Any],
    kp_driving: jax.Array,
    motion: tuple[jax.Array, ...],
    *,
    mode: Mode,
    dtype: Any,
) -> jax.Array:
    """Pictures of a source in driving poses.

    Args:
      model: of the checkpoint.
      variables: see `animation_variables`.
      encoded: what `encode_source` returned.
      kp_driving: [B, N, 2], as `find_keypoints` found them.
      motion: for mode 'relative' the initial keypoints [N, 2] and the scale; unused otherwise.
      mode: see `Animator`.
      dtype: uint8 or float32, see `Animator`.

    Returns:
      [B, H, W, 3].
    """
    kp_source = encoded["kp_source"]
    if mode == "relative":
        initial, scale = motion
        kp_driving = relative_keypoints(kp_source, kp_driving, initial[None], scale)
    elif mode == "avd":
        kp_driving = model.apply(
            variables,
            jnp.broadcast_to(kp_source, kp_driving.shape),
            kp_driving,
            method=lambda model, source, driving: model.avd_network(source, driving),
        )
    outputs = model.apply(variables, encoded, kp_driving, method="generate")
    image = outputs["prediction"].astype(jnp.float32)
    if np.dtype(dtype) == np.uint8:
        return jnp.rint(jnp.clip(image, 0, 1) * 255).astype(jnp.uint8)
    return image
