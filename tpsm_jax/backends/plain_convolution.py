"""The plain form of a convolution: XLA's own routine."""

import jax

from tpsm_jax.backends.precision import precision_of


def convolve_plain(x: jax.Array, kernel: jax.Array, strides: int, padding: int) -> jax.Array:
    """Convolves in the type of `x`; see `convolution.convolve` for arguments and result."""
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(strides, strides),
        padding=((padding, padding), (padding, padding)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=precision_of(x.dtype),
    )
