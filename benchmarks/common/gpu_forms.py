"""Forms of convolutions that a GPU may compute faster than the library's.

A profile on an H100 (docs/benchmarks.md) shows where its time goes, and these forms address that.
They are not in the library, because nobody has measured them yet: studies/convolutions.py does.
"""

import jax
import jax.numpy as jnp

from tpsm_jax.backends.precision import precision_of

# Kernels of this side and more, to so many features and fewer: masks have 1, pictures 3,
# contribution maps 11. cuDNN computes 32 or more at once, and throws the others away.
LARGE, FEW = 5, 16
EIGHT = 8  # bfloat16 channels that a tensor core takes at once


def convolve(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    """`tpsm_jax.backends.convolution.convolve` at stride 1, in shapes that cuDNN is made for.

    Args:
      x: [B, H, W, C].
      kernel: [k, k, C, features].
      padding: zeros on each side.

    Returns:
      [B, H + 2 padding - k + 1, W + 2 padding - k + 1, features], in the type of `x`.
    """
    size, features = kernel.shape[0], kernel.shape[-1]
    if size >= LARGE and features <= FEW:
        return _by_columns(x, kernel, padding)
    return _in_eights(x, kernel, (padding, padding))


def upsample_and_convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """conv3x3(nearest_x2(x)), as one 2x2 convolution that makes four results above each pixel.

    Along one axis, of the taps a, b and c, the two results are a left + (b + c) x and
    (a + b) x + c right: two multiplications of an input pixel, along both axes 16 in place of 36.

    Args:
      x: [B, H, W, C].
      kernel: [3, 3, C, features].

    Returns:
      [B, 2H, 2W, features], in the type of `x`.
    """
    batch, height, width, channels = x.shape
    pairs = _pair(_pair(kernel, 0), 1)  # [2, 2, C, 2, 2, features]
    made = _in_eights(x, pairs.reshape(2, 2, channels, -1).astype(x.dtype), (1, 1))
    made = made.reshape(*made.shape[:3], 2, 2, -1)

    def result(row: int, column: int) -> jax.Array:
        return made[:, row : row + height, column : column + width, row, column]

    rows = [jnp.stack([result(row, 0), result(row, 1)], axis=3) for row in range(2)]
    return jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, -1)


def _pair(kernel: jax.Array, axis: int) -> jax.Array:
    """Combines the taps on an axis for the first and the second result, on a new axis -2."""
    first, middle, last = jnp.split(kernel, 3, axis)
    taps = ((first, first + middle), (middle + last, last))
    return jnp.concatenate([jnp.stack(results, axis=-2) for results in taps], axis)


def _by_columns(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    """Convolves with each column of the kernel, and sums the results.

    A k x k kernel to f features becomes a k x 1 kernel to k f features: a k-th of the products,
    since cuDNN computes 32 features or more at once in either case.
    """
    size, _, channels, features = kernel.shape
    upright = kernel.swapaxes(1, 2).reshape(size, 1, channels, size * features)
    columns = _in_eights(x, upright, (padding, 0)).astype(jnp.float32)
    columns = columns.reshape(*columns.shape[:3], size, features)
    columns = jnp.pad(columns, ((0, 0), (0, 0), (padding, padding), (0, 0), (0, 0)))
    width = columns.shape[2] - size + 1
    total = sum(columns[:, :, column : column + width, column] for column in range(size))
    return jnp.asarray(total).astype(x.dtype)


def _in_eights(x: jax.Array, kernel: jax.Array, padding: tuple[int, int]) -> jax.Array:
    """Convolves; in bfloat16 with channels padded by zeros to a multiple of eight.

    cuDNN pads them too, but in separate passes over the pictures.
    """
    channels, features = kernel.shape[2:]
    if x.dtype == jnp.bfloat16:
        x = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, -channels % EIGHT)))
        kernel = jnp.pad(kernel, ((0, 0), (0, 0), (0, -channels % EIGHT), (0, -features % EIGHT)))
    out = jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1, 1),
        padding=[(each, each) for each in padding],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=precision_of(x.dtype),
    )
    return out[..., :features]
