"""Convolution, linear layer and pooling with PyTorch's conventions."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from tpsm_jax.backends.convolution import convolve

Dtype = Any


def uniform_by_fan_in(fan_in: int) -> Callable[..., jax.Array]:
    """Returns PyTorch's default initializer, U(-1/sqrt(n), 1/sqrt(n)) with n = `fan_in`."""
    bound = 1 / math.sqrt(fan_in)

    def initialize(rng: jax.Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> jax.Array:
        return _uniform(rng, shape, dtype, bound)

    return initialize


# Jitted, as every initializer that computes something should be: Flax traces initializers whenever
# it applies a module, to check shapes, and JAX traces a jitted function once per shape.
@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _uniform(rng: jax.Array, shape: tuple[int, ...], dtype: Dtype, bound: float) -> jax.Array:
    return jax.random.uniform(rng, shape, dtype, -bound, bound)


def conv(
    in_features: int,
    features: int,
    kernel_size: int,
    *,
    strides: int = 1,
    use_bias: bool = True,
    kernel_init: Callable[..., jax.Array] | None = None,
    dtype: Dtype = jnp.float32,
    name: str | None = None,
) -> nn.Conv:
    """Makes a square convolution padded by half its kernel, which keeps the size at stride 1.

    Args:
      in_features: channels in, which set the scale of the initial values.
      features: channels out.
      kernel_size: side of the kernel, odd.
      strides: stride along both axes.
      use_bias: whether to add a bias.
      kernel_init: initializer of the kernel; PyTorch's default if None.
      dtype: type to compute in. Parameters are float32.
      name: the submodule's name, which is the torch key.
    """
    initialize = uniform_by_fan_in(in_features * kernel_size**2)
    return nn.Conv(
        features,
        (kernel_size, kernel_size),
        strides=strides,
        padding=kernel_size // 2,
        use_bias=use_bias,
        kernel_init=kernel_init or initialize,
        bias_init=initialize,
        dtype=dtype,
        conv_general_dilated=_convolve,
        name=name,
    )


def _convolve(
    x: jax.Array, kernel: jax.Array, window_strides: Any, padding: Any, **_: Any
) -> jax.Array:
    """Calls `convolve` with the arguments that Flax passes to `jax.lax.conv_general_dilated`."""
    return convolve(x, kernel, strides=window_strides[0], padding=padding[0][0])


def linear(
    in_features: int,
    features: int,
    *,
    kernel_init: Callable[..., jax.Array] | None = None,
    bias_init: Callable[..., jax.Array] | None = None,
    name: str | None = None,
) -> nn.Dense:
    """Makes a linear layer in float32, because it computes keypoints and matrices only."""
    initialize = uniform_by_fan_in(in_features)
    return nn.Dense(
        features,
        kernel_init=kernel_init or initialize,
        bias_init=bias_init or initialize,
        dtype=jnp.float32,
        precision=jax.lax.Precision.HIGHEST,
        name=name,
    )
