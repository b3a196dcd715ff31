"""Convolution of pictures: XLA's own routine, with other forms where that is slow on a CPU.

`thresholds` decides between the forms. They support reverse-mode gradients only, not `jax.jvp`.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from tpsm_jax.backends import few_features, thresholds
from tpsm_jax.backends.backend import backend
from tpsm_jax.backends.matmul_convolution import (
    convolve_by_matmul,
    input_gradient_by_matmul,
    kernel_gradient_by_matmul,
)
from tpsm_jax.backends.plain_convolution import convolve_plain
from tpsm_jax.backends.winograd import winograd


def convolve(x: jax.Array, kernel: jax.Array, *, strides: int = 1, padding: int) -> jax.Array:
    """Convolves in the type of `x`.

    Args:
      x: [B, H, W, C].
      kernel: [k, k, C, features].
      strides: along both axes.
      padding: zeros on each side.

    Returns:
      [B, H', W', features] with H' = (H + 2 padding - k) // strides + 1, and W' accordingly.
    """
    if backend() == "cpu" and strides == 1:
        return _convolve_on_cpu(x, kernel, padding)
    return convolve_plain(x, kernel, strides, padding)


def _convolve_on_cpu(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    size, sides = kernel.shape[0], x.shape[1:3]
    if x.dtype == jnp.bfloat16:
        small = sides[0] * sides[1] <= thresholds.BFLOAT16_MATMUL_PIXELS and padding < size
        if small or _is_for_winograd(x, kernel, padding):
            return _convolve_with_matmul_gradients(x, kernel, padding)
        # XLA converts to float32 anyway, and float32 has more forms to choose from.
        wide = _convolve_on_cpu(x.astype(jnp.float32), kernel.astype(jnp.float32), padding)
        return wide.astype(x.dtype)
    if min(sides) < size:
        # For pictures smaller than the kernel XLA falls back to a plain loop, 80 times as slow for
        # 2x2 pictures of 512 channels.
        return convolve_by_matmul(x, kernel, padding)
    if padding < size and few_features.is_few_features(kernel):
        return few_features.convolve_to_few(x, kernel, padding)
    return _convolve_with_matmul_gradients(x, kernel, padding)


def _is_for_winograd(x: jax.Array, kernel: jax.Array, padding: int) -> bool:
    _, height, width, _ = x.shape
    size, _, *channels = kernel.shape
    least, most = thresholds.WINOGRAD_PIXELS
    fewest = thresholds.WINOGRAD_CHANNELS
    if x.dtype == jnp.bfloat16:
        least, most = thresholds.BFLOAT16_WINOGRAD_PIXELS
        fewest = thresholds.BFLOAT16_WINOGRAD_CHANNELS
    return (
        (size, padding) == (3, 1)
        and height % 2 == width % 2 == 0
        and least <= height * width <= most
        and min(channels) >= fewest
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve_with_matmul_gradients(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    """Convolves; gradients are matmuls where XLA's own are slow, in bfloat16 always."""
    if _is_for_winograd(x, kernel, padding):
        return winograd(x, kernel)
    if x.dtype == jnp.bfloat16:
        return convolve_by_matmul(x, kernel, padding)
    return convolve_plain(x, kernel, 1, padding)


def _forward(x: jax.Array, kernel: jax.Array, padding: int) -> tuple[jax.Array, Any]:
    return _convolve_with_matmul_gradients(x, kernel, padding), (x, kernel)


def _backward(padding: int, kept: Any, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    in_bfloat16 = x.dtype == jnp.bfloat16
    _, pull = jax.vjp(lambda x, kernel: convolve_plain(x, kernel, 1, padding), x, kernel)
    of_x, of_kernel = pull(gradient)  # XLA drops what is replaced below
    if _is_for_winograd(x, kernel, padding):
        of_x = winograd(gradient, kernel, transposed=True)
    elif in_bfloat16 or kernel.size > thresholds.LARGE_KERNEL * gradient.size:
        of_x = input_gradient_by_matmul(gradient, kernel, padding)
    if in_bfloat16 or x.size > thresholds.LARGE_PICTURE:
        of_kernel = kernel_gradient_by_matmul(x, gradient, kernel.shape[0], padding)
    return of_x, of_kernel


_convolve_with_matmul_gradients.defvjp(_forward, _backward)
