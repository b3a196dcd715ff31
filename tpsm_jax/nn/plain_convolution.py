"""Convolution by XLA's own routine, and the precision of products."""

from typing import Any

import jax
import jax.numpy as jnp


def precision_of(dtype: Any) -> jax.lax.Precision | None:
    """float32 means float32, on every backend; who wants speed asks for bfloat16 by name."""
    return jax.lax.Precision.HIGHEST if dtype == jnp.float32 else None


def convolve_plainly(x: jax.Array, kernel: jax.Array, strides: int, padding: int) -> jax.Array:
    """Convolves, in the type of `x`; arguments and result as `convolution.convolve` has them."""
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(strides, strides),
        padding=((padding, padding), (padding, padding)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=precision_of(x.dtype),
    )
