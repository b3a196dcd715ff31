"""Distances between two clips, frame by frame, on plain arrays. All of them can be jitted.

Frames are [T, H, W, 3] float32 in [0, 1] and each function returns one number a frame, so that a
long clip can be measured piece by piece and frames that only fill a batch can be left out.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

# Wang et al. 2004: an 11x11 window, a gaussian of this deviation, and the constants that keep the
# ratios defined where a window is flat.
_WINDOW = 11
_SIGMA = 1.5
_C1 = 0.01**2
_C2 = 0.03**2

# Wang et al. 2003: exponents of the five scales, finest first.
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)

# Side in pixels of the smallest picture whose coarsest scale still holds one window.
MS_SSIM_SMALLEST = _WINDOW * 2 ** (len(_SCALE_WEIGHTS) - 1)
SSIM_SMALLEST = _WINDOW

PSNR_LARGEST = 100.0


def l1(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Mean absolute difference.

    Args:
      prediction: [T, H, W, 3] in [0, 1].
      target: [T, H, W, 3] in [0, 1].

    Returns:
      [T]. The paper's L1 is the mean of these over the frames of all clips together, the first
      frame, which is the source itself, among them. Reference: reconstruction.py.
    """
    return jnp.mean(jnp.abs(prediction - target), axis=(1, 2, 3))


def psnr(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Peak signal-to-noise ratio, of all three channels together.

    Args:
      prediction: [T, H, W, 3] in [0, 1].
      target: [T, H, W, 3] in [0, 1].

    Returns:
      [T] in decibels, at most `PSNR_LARGEST`: equal frames would be infinite, and so would the
      mean of a clip that has any. Rounding to 8 bits alone is 59 dB.
    """
    error = jnp.mean(jnp.square(prediction - target), axis=(1, 2, 3))
    return -10 * jnp.log10(jnp.maximum(error, 10 ** (-PSNR_LARGEST / 10)))


def ssim(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Structural similarity, on RGB, the three channels averaged.

    Args:
      prediction: [T, H, W, 3] in [0, 1], at least `SSIM_SMALLEST` pixels a side.
      target: [T, H, W, 3] in [0, 1].

    Returns:
      [T], 1 for equal frames. Source: Wang et al. 2004 as in scikit-image's
      structural_similarity(gaussian_weights=True, use_sample_covariance=False, data_range=1,
      channel_axis=-1): windows that reach over the border are left out.

    Raises:
      ValueError: a side is too small.
    """
    _check_size("ssim", prediction, SSIM_SMALLEST)
    return jnp.mean(_similarity(prediction, target)[0], axis=-1)


def ms_ssim(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Structural similarity over five scales, on RGB, the three channels averaged.

    Args:
      prediction: [T, H, W, 3] in [0, 1], at least `MS_SSIM_SMALLEST` pixels a side.
      target: [T, H, W, 3] in [0, 1].

    Returns:
      [T], 1 for equal frames. Source: Wang et al. 2003: contrast and structure of every scale,
      luminance of the coarsest alone. Between scales 2x2 means, an odd row or column left out.
      A scale of negative similarity counts as 0.

    Raises:
      ValueError: a side is too small.
    """
    _check_size("ms_ssim", prediction, MS_SSIM_SMALLEST)
    product = jnp.ones((), prediction.dtype)
    *finer, coarsest = _SCALE_WEIGHTS
    for weight in finer:
        _, structure = _similarity(prediction, target)
        product = product * jnp.maximum(structure, 0) ** weight
        prediction, target = _halved(prediction), _halved(target)
    similarity, _ = _similarity(prediction, target)
    return jnp.mean(product * jnp.maximum(similarity, 0) ** coarsest, axis=-1)


def perceptual(
    features_of_prediction: Sequence[jax.Array], features_of_target: Sequence[jax.Array]
) -> jax.Array:
    """Mean absolute difference of each VGG-19 feature map, summed over the maps.

    Args:
      features_of_prediction: the maps [T, h, w, C] that `VGG19` gives for [T, H, W, 3] in [0, 1].
      features_of_target: the same number of maps; either side may be of one picture.

    Returns:
      [T]. The training loss's perceptual term is this, times its weight of 10, summed over four
      scales of the pictures; here only the full size is taken. It is not LPIPS.
    """
    pairs = zip(features_of_prediction, features_of_target, strict=True)
    differences = (jnp.abs(ours - aim).astype(jnp.float32) for ours, aim in pairs)
    return sum((jnp.mean(each, axis=(1, 2, 3)) for each in differences), jnp.zeros(()))


def change(frames: jax.Array) -> jax.Array:
    """Mean absolute difference of every frame from the one before.

    Args:
      frames: [T, H, W, 3] in [0, 1].

    Returns:
      [T - 1].
    """
    return jnp.mean(jnp.abs(frames[1:] - frames[:-1]), axis=(1, 2, 3))


def flicker(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """How much the error changes from frame to frame: 0 for an error that stays the same.

    Args:
      prediction: [T, H, W, 3] in [0, 1].
      target: [T, H, W, 3] in [0, 1].

    Returns:
      [T - 1]. If a clip is measured piece by piece, each piece begins with the frame before it.
    """
    return change(prediction - target)


def keypoint_distance(kp_a: jax.Array, kp_b: jax.Array) -> jax.Array:
    """Mean absolute difference of coordinates, as AKD takes it, of the model's own keypoints.

    Args:
      kp_a: [T, N, 2], (x, y) in [-1, 1].
      kp_b: [T, N, 2].

    Returns:
      [T], in the keypoints' unit: half the picture's side is 1.
    """
    return jnp.mean(jnp.abs(kp_a - kp_b), axis=(1, 2))


def _similarity(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """SSIM, and its contrast and structure alone, each [T, 3]: the mean over all windows."""
    # A shift leaves variances unchanged, and float32 loses fewer of their digits around 0.
    a, b = a - 0.5, b - 0.5
    mean_a, mean_b, squares, product = _blurred(jnp.stack([a, b, a * a + b * b, a * b]))
    variances = squares - mean_a**2 - mean_b**2
    covariance = product - mean_a * mean_b
    structure = (2 * covariance + _C2) / (variances + _C2)
    mean_a, mean_b = mean_a + 0.5, mean_b + 0.5
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    return jnp.mean(luminance * structure, axis=(1, 2)), jnp.mean(structure, axis=(1, 2))


def _blurred(frames: jax.Array) -> jax.Array:
    """The gaussian mean of every window that lies inside: [..., H - 10, W - 10, 3]."""
    rows, columns = (_window_matrix(side) for side in frames.shape[-3:-1])
    precision = jax.lax.Precision.HIGHEST
    frames = jnp.einsum("hi,...ijc->...hjc", rows, frames, precision=precision)
    return jnp.einsum("wj,...hjc->...hwc", columns, frames, precision=precision)


def _window_matrix(side: int) -> np.ndarray:
    """[side - 10, side]: the window's weights along one axis, as in ops/resample.py."""
    offsets = np.arange(_WINDOW) - _WINDOW // 2
    profile = np.exp(-0.5 * (offsets / _SIGMA) ** 2)
    rows = np.arange(side - _WINDOW + 1)
    matrix = np.zeros((len(rows), side), np.float32)
    matrix[rows[:, None], rows[:, None] + np.arange(_WINDOW)] = profile / profile.sum()
    return matrix


def _halved(frames: jax.Array) -> jax.Array:
    """Means of 2x2 pixels."""
    batch, height, width, channels = frames.shape
    frames = frames[:, : height // 2 * 2, : width // 2 * 2]
    return frames.reshape(batch, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))


def _check_size(name: str, frames: jax.Array, smallest: int) -> None:
    height, width = frames.shape[1:3]
    if min(height, width) < smallest:
        raise ValueError(f"{name} wants {smallest} pixels a side at least, not {height}x{width}")
