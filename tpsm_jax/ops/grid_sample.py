"""Bilinear sampling of a picture at given coordinates, equal to PyTorch's `grid_sample`."""

from typing import Literal

import jax
import jax.numpy as jnp

from tpsm_jax.backends.scale_channels import scale_channels


def grid_sample(
    image: jax.Array,
    grid: jax.Array,
    *,
    padding_mode: Literal["zeros", "reflection"] = "zeros",
) -> jax.Array:
    """Samples `image` bilinearly at the positions in `grid`.

    Args:
      image: [H, W, C].
      grid: [h, w, 2] float32, (x, y), where +-1 are the centers of the corner pixels
        (`align_corners=True`). Any finite value is allowed.
      padding_mode: what lies outside [-1, 1]: "zeros", or the picture mirrored about the centers
        of its border pixels ("reflection").

    Returns:
      [h, w, C] in the dtype of `image`. Source: torch.nn.functional.grid_sample.

    Raises:
      ValueError: if the padding mode is another.
    """
    image, grid = jnp.asarray(image), jnp.asarray(grid)
    height, width, _ = image.shape
    x = (grid[..., 0] + 1) * ((width - 1) / 2)
    y = (grid[..., 1] + 1) * ((height - 1) / 2)
    if padding_mode == "zeros":
        x, y = _stop_outside(x, width), _stop_outside(y, height)
    elif padding_mode == "reflection":
        x, y = _reflect(x, width), _reflect(y, height)
    else:
        raise ValueError(f"padding_mode must be 'zeros' or 'reflection', not {padding_mode!r}")

    left, top = jnp.floor(x), jnp.floor(y)
    right_weight, bottom_weight = x - left, y - top
    # Convert before gathering: the gradient is a sum over samples, which in bfloat16 stops at 2^8.
    values = image.astype(jnp.float32)
    own_row = jnp.arange(grid.shape[0])[:, None] % height
    own_column = jnp.arange(grid.shape[1])[None, :] % width
    sampled = jnp.zeros((), jnp.float32)
    for row, row_weight in ((top, 1 - bottom_weight), (top + 1, bottom_weight)):
        for column, column_weight in ((left, 1 - right_weight), (left + 1, right_weight)):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            weight = jnp.where(inside, row_weight * column_weight, 0)
            # A sample outside takes some pixel with weight 0, so no index is out of range and the
            # gather needs no mode. Each takes a pixel of its own, because scatter-add on a GPU is
            # slow where many gradients add to one pixel.
            row_index = jnp.where(inside, row.astype(jnp.int32), own_row)
            column_index = jnp.where(inside, column.astype(jnp.int32), own_column)
            sampled = sampled + scale_channels(values[row_index, column_index], weight)
    return sampled.astype(image.dtype)


def _stop_outside(position: jax.Array, size: int) -> jax.Array:
    """Clips positions to at most two pixels outside, where they touch no pixel of the picture.

    This keeps the weights of huge finite positions finite.
    """
    return jnp.clip(position, -2, size + 1)


def _reflect(position: jax.Array, size: int) -> jax.Array:
    """Mirrors positions about 0 and `size - 1` until they lie between."""
    if size == 1:
        return jnp.zeros_like(position)
    span = 2.0 * (size - 1)
    distance = jnp.abs(position)
    remainder = distance - jnp.trunc(distance / span) * span
    mirrored = jnp.minimum(remainder, span - remainder)
    # For huge distances, rounding can leave the picture slightly, and inf - inf gives NaN.
    return jnp.clip(jnp.where(jnp.isfinite(mirrored), mirrored, 0), 0, size - 1)
