"""Where a result shows the joints of a drawn figure, by comparing patches with the truth.

The truth is a picture of the same figure in the pose that was asked for. The patch of it around a
joint, as far as it shows the figure, is searched for in the result nearby. No detector and no
property of a model takes part, so models of any kind compare.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from tpsm_jax.media.images import to_float

# Shares of the picture's shorter side.
PATCH = 0.08  # radius of a patch
BLUR = 0.012  # deviation of the blur before the comparison: results are blurred, too
SEARCH = 0.25  # how far a patch is searched for
NEAR = 0.1  # a wrist or ankle that is found no farther away is where it should be
# Squared difference over the patch's own variance above which a joint is not found: that of a flat
# area of the patch's mean color is 1.
MOST = 0.6
# Added at the edge of the search, so that of patches as good as equal the nearest is taken.
_PULL = 0.02
_FLAT = 0.01  # the least sum of squared differences from its mean that a patch is taken to have


class TrueFrame(NamedTuple):
    """What a frame should be.

    Attributes:
      picture: [H, W, 3] uint8.
      figure: [H, W] bool, the pixels that show the figure.
      joints: [J, 2] float32, (x, y) in pixels from the first pixel's middle.
      visible: [J] bool, whether a joint is in the picture and nothing hides it.
      limbs: [J] bool, whether it is a wrist or an ankle.
    """

    picture: np.ndarray
    figure: np.ndarray
    joints: np.ndarray
    visible: np.ndarray
    limbs: np.ndarray


def joint_numbers(results: np.ndarray, truth: list[TrueFrame]) -> dict[str, np.ndarray]:
    """Compares the joints of results with the truth.

    Args:
      results: [B, H, W, 3] uint8.
      truth: B frames.

    Returns:
      joint_akd: [B], mean distance in pixels of the visible joints; one that is not found counts
        as far away as it is searched for.
      joint_mkr: [B], share of the visible joints that are not found.
      limbs: [B], share of the visible wrists and ankles that are found within `NEAR`.
      Where a frame has no visible joint, or no such limb, they are 0, 0 and 1.
    """
    picture, figure, joints, visible, limbs = (np.stack(each) for each in zip(*truth, strict=True))
    distance, cost = jax.device_get(
        find_joints(_blurred(results), _blurred(picture), figure, joints)
    )
    side = min(picture.shape[1:3])
    found = visible & (cost <= MOST)
    distance = np.where(found, distance, SEARCH * side)
    near = found & (distance <= NEAR * side)
    count, limbs = np.maximum(visible.sum(1), 1), limbs & visible
    return {
        "joint_akd": np.sum(distance * visible, 1) / count,
        "joint_mkr": np.sum(visible & ~found, 1) / count,
        "limbs": np.where(limbs.any(1), np.sum(near & limbs, 1) / np.maximum(limbs.sum(1), 1), 1.0),
    }


@jax.jit
def find_joints(
    results: jax.Array, truth: jax.Array, figure: jax.Array, joints: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Searches for the patch around each joint.

    Args:
      results: [B, H, W, 3] in [0, 1].
      truth: [B, H, W, 3] in [0, 1].
      figure: [B, H, W] bool.
      joints: [B, J, 2] float32, (x, y) in pixels.

    Returns:
      The distance in pixels from each joint to the place of the most similar patch, and how unlike
      it is, see `MOST`; infinite where the patch shows nothing of the figure: [B, J] each.
    """
    side = min(results.shape[1:3])
    find = functools.partial(_find, patch=round(PATCH * side), search=SEARCH * side)
    # One frame after the other: each has kernels of its own, and one convolution of many is slow.
    return jax.lax.map(lambda frame: find(*frame), (results, truth, figure, joints))


def _find(
    result: jax.Array,
    truth: jax.Array,
    figure: jax.Array,
    joints: jax.Array,
    *,
    patch: int,
    search: float,
) -> tuple[jax.Array, jax.Array]:
    height, width = figure.shape
    count = len(joints)
    x, y = (
        jnp.clip(jnp.rint(joints[:, axis]), 0, last).astype(jnp.int32)
        for axis, last in enumerate((width - 1, height - 1))
    )
    offsets = np.arange(-patch, patch + 1)
    disc = offsets[:, None] ** 2 + offsets[None] ** 2 <= patch**2
    edges = ((patch, patch), (patch, patch))
    truth, figure = jnp.pad(truth, (*edges, (0, 0))), jnp.pad(figure, edges)

    def cut(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        size = 2 * patch + 1
        shown = jnp.asarray(disc) & jax.lax.dynamic_slice(figure, (y, x), (size, size))
        return jax.lax.dynamic_slice(truth, (y, x, 0), (size, size, 3)), shown[..., None]

    patches, weights = jax.vmap(cut)(x, y)
    weights = jnp.broadcast_to(weights, patches.shape).astype(jnp.float32)
    # Outside the picture nothing is similar.
    padded = jnp.pad(result, (*edges, (0, 0)), constant_values=2)
    costs = _squared_differences(padded, patches, weights).reshape(-1, count)
    costs = costs / jnp.maximum(_spread(patches, weights), _FLAT)[None]
    costs = jnp.where(jnp.any(weights > 0, axis=(1, 2, 3))[None], costs, jnp.inf)

    rows, columns = np.mgrid[:height, :width].reshape(2, -1, 1)
    distances = jnp.hypot(
        *(jnp.asarray(here, jnp.float32) - there[None] for here, there in ((rows, y), (columns, x)))
    )
    ranked = costs + _PULL * (distances / search) ** 2
    best = jnp.argmin(jnp.where(distances <= search, ranked, jnp.inf), axis=0)[None]
    distances, costs = (jnp.take_along_axis(each, best, axis=0)[0] for each in (distances, costs))
    return distances, costs


def _spread(patches: jax.Array, weights: jax.Array) -> jax.Array:
    """[J], the weighted sum of squared differences of a patch from its own mean color."""
    axes = (1, 2)
    sums = jnp.sum(weights * patches, axis=axes)
    counts = jnp.maximum(jnp.sum(weights, axis=axes), 1)
    return jnp.sum(jnp.sum(weights * patches**2, axis=axes) - sums**2 / counts, axis=-1)


def _blurred(pictures: np.ndarray) -> np.ndarray:
    """[B, H, W, 3] uint8 -> float32 in [0, 1] under a Gaussian, mirrored at the borders."""
    deviation = BLUR * min(pictures.shape[1:3])
    sigmas = (0, deviation, deviation, 0)
    return ndimage.gaussian_filter(to_float(pictures), sigmas, mode="mirror", truncate=3)


def _squared_differences(picture: jax.Array, patches: jax.Array, weights: jax.Array) -> jax.Array:
    """Sums of weighted squared differences of patches at every place in a picture.

    Args:
      picture: [H + 2 r, W + 2 r, 3].
      patches: [J, 2 r + 1, 2 r + 1, 3].
      weights: [J, 2 r + 1, 2 r + 1, 3].

    Returns:
      [H, W, J].
    """
    kernels = jnp.concatenate([weights, -2 * weights * patches], axis=-1)
    sums = jax.lax.conv_general_dilated(
        jnp.concatenate([picture**2, picture], axis=-1)[None],
        jnp.moveaxis(kernels, 0, -1),
        (1, 1),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=jax.lax.Precision.HIGHEST,
    )
    return jnp.maximum(sums[0] + jnp.sum(weights * patches**2, axis=(1, 2, 3))[None, None], 0)
