"""A convolution and its two gradients as matmuls of shifted pictures, at stride 1."""

import jax
import jax.numpy as jnp

from tpsm_jax.backends.precision import wide_einsum


def shifted(x: jax.Array, size: int, padding: int) -> list[jax.Array]:
    """Returns what each tap of a kernel meets of pictures, row by row of the kernel.

    Args:
      x: [B, H, W, C].
      size: k, the side of the kernel.
      padding: zeros on each side.

    Returns:
      k^2 arrays of [B, H + 2 padding - k + 1, W + 2 padding - k + 1, C].
    """
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    height, width = (side - size + 1 for side in x.shape[1:3])
    return [
        x[:, row : row + height, column : column + width]
        for row in range(size)
        for column in range(size)
    ]


def convolve_by_matmul(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    """Convolves by one matmul.

    Args:
      x: [B, H, W, C].
      kernel: [k, k, C, features].
      padding: zeros on each side.

    Returns:
      [B, H + 2 padding - k + 1, W + 2 padding - k + 1, features] in the type of `x`.
    """
    # The neighborhood of every position side by side, in the order of the kernel's axes.
    patches = jnp.concatenate(shifted(x, kernel.shape[0], padding), axis=-1)
    kernel = kernel.reshape(-1, kernel.shape[-1])
    return wide_einsum("bhwc,cf->bhwf", patches, kernel).astype(x.dtype)


def input_gradient_by_matmul(gradient: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    """Computes the gradient of the input without transposing the kernel.

    XLA transposes it, which may take ten times as long where the picture is small.

    Args:
      gradient: [B, H', W', features], of the output.
      kernel: [k, k, C, features].
      padding: zeros that were on each side of the input, less than k.

    Returns:
      [B, H, W, C].
    """
    size, _, channels, features = kernel.shape
    # One shifted gradient for each of the kernel's taps, then the sum of their contributions.
    received = jnp.stack(shifted(gradient, size, size - 1 - padding)[::-1])
    taps = kernel.reshape(size * size, channels, features)
    return wide_einsum("tbhwf,tcf->tbhwc", received, taps).sum(0).astype(gradient.dtype)


def kernel_gradient_by_matmul(
    x: jax.Array, gradient: jax.Array, size: int, padding: int
) -> jax.Array:
    """Computes the gradient of the kernel.

    XLA convolves with a window as large as the picture, which is five times slower.

    Args:
      x: [B, H, W, C], the input of the convolution.
      gradient: [B, H', W', features], of its output.
      size: k, the side of the kernel.
      padding: zeros that were on each side of `x`.

    Returns:
      [k, k, C, features].
    """
    channels, (width, features) = x.shape[-1], gradient.shape[2:]
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    # Columns are shifted in x and lie side by side; rows are shifted in the gradient, one at a
    # time. The barrier makes XLA compute the columns once for all rows.
    columns = jax.lax.optimization_barrier(
        jnp.concatenate([x[:, :, i : i + width] for i in range(size)], axis=-1)
    )
    rows = []
    for row in range(size):
        shifted = jnp.pad(gradient, ((0, 0), (row, size - 1 - row), (0, 0), (0, 0)))
        rows.append(wide_einsum("bhwi,bhwj->ij", columns, shifted))
    return jnp.stack(rows).reshape(size, size, channels, features).astype(x.dtype)
