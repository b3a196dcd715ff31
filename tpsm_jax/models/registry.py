"""The one table of model families, and what every family's models have in common.

A config chooses its family by `model_params.family`; without that field it is `DEFAULT_FAMILY`.
"""

import functools
import json
import numbers
from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from tpsm_jax.backends.backend import tracing_for
from tpsm_jax.errors import InputError
from tpsm_jax.models.interface import Family, Variables, check_divides
from tpsm_jax.models.tpsm import TPSM
from tpsm_jax.nn.layers import Dtype

FAMILIES = {family.name: family for family in (TPSM,)}
DEFAULT_FAMILY = TPSM.name
# Beyond all networks: each block halves the picture or is a layer of its own.
MOST_BLOCKS = 20
_LARGEST = 2**16  # of all other numbers, and of sides of pictures


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, also one of NumPy's."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def family_of(model_params: Mapping[str, Any]) -> Family:
    """The family that a config's `model_params` name.

    Raises:
      InputError: there is no such family.
    """
    name = model_params.get("family", DEFAULT_FAMILY)
    if name not in FAMILIES:
        raise InputError(f"model_params.family is {' or '.join(FAMILIES)}, not {name!r}")
    return FAMILIES[name]


def build_model(
    model_params: Mapping[str, Any],
    *,
    dtype: Dtype = jnp.float32,
    remat: Collection[str] = (),
) -> Any:
    """Makes the model that a config describes.

    Args:
      model_params: the sections that the family requires, with the fields of the official YAML
        files.
      dtype: float32 or bfloat16, to compute convolutions in.
      remat: names of networks whose inner values a gradient computes again.

    Returns:
      The model, without variables; an `AnimationModel`.

    Raises:
      InputError: there is no such family, or a number is out of all bounds.
    """
    _check_numbers(model_params)
    return family_of(model_params).build(model_params, dtype=dtype, remat=remat)


def _check_numbers(params: Any, name: str = "model_params") -> None:
    """Checks that no network is so deep or wide that describing it takes hours."""
    if hasattr(params, "items"):  # a dict or a ConfigDict
        for key, value in params.items():
            _check_numbers(value, f"{name}.{key}")
    elif isinstance(params, int | float) and not abs(params) <= (
        MOST_BLOCKS if "blocks" in name else _LARGEST
    ):
        raise InputError(f"{name} is larger than that of any network")


def init_variables(
    model: Any,
    rng: jax.Array,
    height: int,
    width: int,
    *,
    networks: Collection[str] | None = None,
) -> Variables:
    """Draws the variables of an untrained model.

    Args:
      model: the model that `build_model` made.
      rng: a JAX random key.
      height: the height of any picture that the model takes; no variable depends on it.
      width: its width.
      networks: names of the networks to draw; all if None.

    Returns:
      `{"params": {network: ...}, "batch_stats": {network: ...}}`.
    """

    def run_every_network(model: Any, image: jax.Array) -> None:
        outputs = model(image, image)
        if "avd" in model.modes:
            model.disentangle(outputs["kp_source"], outputs["kp_driving"])

    image = jnp.zeros((1, height, width, 3))
    # A family without a batch norm has no batch_stats, and callers look both up.
    variables = {"batch_stats": {}, **nn.init(run_every_network, model)(rng, image)}
    return variables if networks is None else choose_networks(variables, networks)


def variable_shapes(
    model_params: Mapping[str, Any], *, networks: Collection[str] | None = None
) -> Variables:
    """The variables that a config describes, without computing any.

    Args:
      model_params: the section that `build_model` takes.
      networks: names of the networks to describe; all if None.

    Returns:
      {"params": {network: ...}, "batch_stats": {network: ...}} of `jax.ShapeDtypeStruct`. It is
      cached: do not change it.
    """
    # The text of a dict can be a cache key. `default` is for the sections of a ConfigDict. Types
    # depend on whether JAX has 64 bits.
    text = json.dumps(model_params, sort_keys=True, default=dict)
    shapes = _variable_shapes(text, jax.config.jax_enable_x64)  # type: ignore[attr-defined]
    return shapes if networks is None else choose_networks(shapes, networks)


def choose_networks(variables: Variables, networks: Collection[str]) -> Variables:
    """The variables, in all their collections, of the networks that are named."""
    return {
        collection: {name: tree for name, tree in by_network.items() if name in networks}
        for collection, by_network in variables.items()
    }


@functools.lru_cache(maxsize=8)
def _variable_shapes(model_params_json: str, x64: bool) -> Variables:
    model_params = json.loads(model_params_json)
    model = build_model(model_params)
    # No variable depends on the size, but tracing needs one that halves so often.
    side = family_of(model_params).image_step(model_params)
    with tracing_for("plain"):  # other forms take longer to trace
        return jax.eval_shape(lambda rng: init_variables(model, rng, side, side), jax.random.key(0))


def picture_size(config: Any) -> tuple[int, int]:
    """The size of the pictures that a checkpoint was trained on.

    Args:
      config: the checkpoint's, whole; a ConfigDict or a dict.

    Returns:
      (height, width) in pixels.

    Raises:
      InputError: the config does not say.
    """
    size = config.get("image_size")
    if (
        not isinstance(size, (list, tuple))
        or len(size) != 2
        or not all(type(side) is int and 0 < side <= _LARGEST for side in size)
    ):
        raise InputError(
            "the checkpoint's config.json has no image_size, [height, width]: convert it again"
        )
    return size[0], size[1]


def check_image_size(model_params: Mapping[str, Any], height: int, width: int) -> None:
    """Makes sure that the networks can take pictures of this size.

    Args:
      model_params: the section that `build_model` takes.
      height: the pictures' height.
      width: the pictures' width.

    Raises:
      InputError: if one of the sides does not divide as often as the networks halve it, or a
        number of `model_params` is out of all bounds.
    """
    _check_numbers(model_params)
    check_divides((height, width), family_of(model_params).image_step(model_params))
