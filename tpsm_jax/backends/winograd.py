"""3x3 convolution with 2.25 times fewer multiplications, as sixteen matmuls.

Winograd's F(2x2, 3x3), as in Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks"
(CVPR 2016). Along one axis, two neighboring results of the taps g and the inputs d are

    y0 = m0 + m1 + m2        m0 = (d0 - d2) g0           m1 = (d1 + d2) (g0 + g1 + g2) / 2
    y1 = m1 - m2 - m3        m3 = (d1 - d3) g2           m2 = (d2 - d1) (g0 - g1 + g2) / 2

and along two axes each multiplication is again such a sum of four. In float32 the rounding error is
about twice that of the plain sum; larger tiles, with fewer multiplications still, have ten times
and more. In bfloat16 the factors of the products are rounded once more: three times the error.
"""

import functools

import jax
import jax.numpy as jnp

from tpsm_jax.backends.precision import wide_einsum


# Jitted so that convolutions of one size are traced once.
@functools.partial(jax.jit, static_argnames="transposed")
def winograd(x: jax.Array, kernel: jax.Array, *, transposed: bool = False) -> jax.Array:
    """Convolves pictures with one pixel of zeros around them, in their type.

    In bfloat16 only the factors of the products are bfloat16; all sums are float32.

    Args:
      x: [B, H, W, C], H and W even.
      kernel: [3, 3, C, features]; [3, 3, features, C] if `transposed`.
      transposed: rotate the kernel by 180 degrees and swap its channels, which computes the
        gradient of the input.

    Returns:
      [B, H, W, features].
    """
    dtype = x.dtype
    # Split bfloat16 pictures and kernels in float32, then multiply in bfloat16.
    x, kernel = (array.astype(jnp.promote_types(dtype, jnp.float32)) for array in (x, kernel))
    if transposed:
        kernel = kernel[::-1, ::-1]
    subscripts = "bhwc,fc->bhwf" if transposed else "bhwc,cf->bhwf"
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows = []
    for inputs, taps in zip(_split_input(x, 1), _split_kernel(kernel), strict=True):
        products = [
            wide_einsum(subscripts, part.astype(dtype), tap.astype(dtype))
            for part, tap in zip(_split_input(inputs, 2), _split_kernel(taps), strict=True)
        ]
        rows.append(jnp.stack(_join(*products), axis=3))
    # [B, H/2, 2, W/2, 2, features]
    out = jnp.stack(_join(*rows), axis=2)
    batch, height, _, width, _, features = out.shape
    return out.reshape(batch, 2 * height, 2 * width, features).astype(dtype)


def _split_input(x: jax.Array, axis: int) -> tuple[jax.Array, ...]:
    """Returns the first factors: of every four neighbors, at every second position."""
    last = x.shape[axis] - 3
    a, b, c, d = (jax.lax.slice_in_dim(x, i, i + last, 2, axis) for i in range(4))
    return a - c, b + c, c - b, b - d


def _split_kernel(kernel: jax.Array) -> tuple[jax.Array, ...]:
    """Returns the second factors: of the three taps along the first axis."""
    outer = (kernel[0] + kernel[2]) / 2
    return kernel[0], outer + kernel[1] / 2, outer - kernel[1] / 2, kernel[2]


def _join(a: jax.Array, b: jax.Array, c: jax.Array, d: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the two results of four products."""
    return a + b + c, b - c - d
