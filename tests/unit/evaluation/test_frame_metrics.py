"""Distances between clips against independent forms in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from tests.helpers.small import pictures
from tpsm_jax.evaluation import frame_metrics as metrics
from tpsm_jax.training.losses import perceptual_loss

# scikit-image 0.26.0: structural_similarity(clean, noisy, data_range=1, gaussian_weights=True,
# use_sample_covariance=False, channel_axis=-1) of `clean_and_noisy(64, 80)`.
SKIMAGE_SSIM = (0.3982499, 0.3365386)


def clean_and_noisy(height, width, count=2):
    clean = pictures(count, height, width, seed=3)
    noise = np.random.default_rng(4).normal(0, 0.1, clean.shape)
    return clean, (0.8 * clean + 0.1 + noise).clip(0, 1).astype(np.float32)


def blurred(image):
    """Gaussian windows that lie inside the picture, of one float64 channel."""
    return ndimage.gaussian_filter(image, 1.5, truncate=3.5)[5:-5, 5:-5]


def scipy_similarity(a, b):
    a, b = np.float64(a), np.float64(b)
    mean_a, mean_b = blurred(a), blurred(b)
    var_a, var_b = blurred(a * a) - mean_a**2, blurred(b * b) - mean_b**2
    covariance = blurred(a * b) - mean_a * mean_b
    structure = (2 * covariance + 0.03**2) / (var_a + var_b + 0.03**2)
    luminance = (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
    return (luminance * structure).mean(), structure.mean()


def scipy_ms_ssim(a, b):
    product = 1.0
    for weight in (0.0448, 0.2856, 0.3001, 0.2363):
        product *= scipy_similarity(a, b)[1] ** weight
        height, width = (side // 2 * 2 for side in a.shape)
        a, b = (
            np.mean([x[i:height:2, j:width:2] for i in (0, 1) for j in (0, 1)], axis=0)
            for x in (np.float64(a), np.float64(b))
        )
    return product * scipy_similarity(a, b)[0] ** 0.1333


def over_channels(function, a, b):
    return [
        np.mean([function(x[..., c], y[..., c]) for c in range(3)])
        for x, y in zip(a, b, strict=True)
    ]


def test_l1_is_the_mean_absolute_difference_of_each_frame():
    clean, noisy = clean_and_noisy(13, 17)
    expected = np.abs(np.float64(clean) - noisy).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(jax.jit(metrics.l1)(clean, noisy), expected, rtol=1e-5)


def test_psnr_against_its_definition():
    clean, noisy = clean_and_noisy(13, 17)
    expected = 10 * np.log10(1 / ((np.float64(clean) - noisy) ** 2).mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(jax.jit(metrics.psnr)(clean, noisy), expected, rtol=1e-5)


def test_psnr_of_equal_frames_is_finite():
    clean, _ = clean_and_noisy(11, 11)
    np.testing.assert_allclose(metrics.psnr(clean, clean), metrics.PSNR_LARGEST, rtol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(64, 80), (11, 11), (12, 31)])
def test_ssim_equals_scipys_form_in_float64(height, width):
    clean, noisy = clean_and_noisy(height, width)
    expected = over_channels(lambda a, b: scipy_similarity(a, b)[0], clean, noisy)
    np.testing.assert_allclose(jax.jit(metrics.ssim)(clean, noisy), expected, atol=1e-5)


def test_ssim_equals_scikit_image():
    np.testing.assert_allclose(metrics.ssim(*clean_and_noisy(64, 80)), SKIMAGE_SSIM, atol=1e-5)


def test_ssim_of_nearly_even_pictures_survives_float32():
    """Where variances are near the constant that steadies the ratio, rounding shows most."""
    clean = np.full((1, 32, 32, 3), 1, np.float32)
    noisy = clean + np.random.default_rng(0).normal(0, 0.003, clean.shape).astype(np.float32)
    expected = over_channels(lambda a, b: scipy_similarity(a, b)[0], clean, noisy)
    np.testing.assert_allclose(metrics.ssim(clean, noisy), expected, atol=4e-6)


@pytest.mark.parametrize(("height", "width"), [(176, 176), (181, 207)])
def test_ms_ssim_equals_scipys_form_in_float64(height, width):
    clean, noisy = clean_and_noisy(height, width, count=1)
    expected = over_channels(scipy_ms_ssim, clean, noisy)
    np.testing.assert_allclose(jax.jit(metrics.ms_ssim)(clean, noisy), expected, atol=1e-5)


@pytest.mark.slow
def test_ms_ssim_of_opposites_is_0_and_not_nan():
    clean, _ = clean_and_noisy(176, 176, count=1)
    np.testing.assert_array_equal(metrics.ms_ssim(clean, 1 - clean), [0])


@pytest.mark.parametrize(
    "measure", [metrics.ssim, pytest.param(metrics.ms_ssim, marks=pytest.mark.slow)]
)
def test_equal_frames_have_a_similarity_of_1(measure):
    clean, _ = clean_and_noisy(176, 176, count=1)
    np.testing.assert_allclose(measure(clean, clean), [1], atol=1e-6)


@pytest.mark.parametrize(("measure", "smallest"), [("ssim", 11), ("ms_ssim", 176)])
def test_pictures_too_small_for_a_window_are_refused(measure, smallest):
    image = jnp.zeros((1, smallest - 1, smallest, 3))
    with pytest.raises(ValueError, match=f"{measure} wants {smallest} pixels"):
        getattr(metrics, measure)(image, image)


def test_perceptual_is_the_training_term_at_full_size():
    def features(images):
        return [images, 2 * images[:, ::2, ::2, :1] ** 2]

    clean, noisy = clean_and_noisy(16, 16)
    frames = metrics.perceptual(features(clean), features(noisy))
    assert frames.shape == (2,)
    expected = perceptual_loss(jnp.asarray(clean), jnp.asarray(noisy), features, (1,), (1, 1))
    np.testing.assert_allclose(np.mean(frames), expected, rtol=1e-5)


def test_perceptual_wants_as_many_maps_of_both():
    image = jnp.zeros((1, 4, 4, 3))
    with pytest.raises(ValueError, match="zip"):
        metrics.perceptual([image], [image, image])


def test_flicker_is_0_for_an_error_that_stands_still():
    clean, _ = clean_and_noisy(8, 8, count=4)
    steady = clean + np.random.default_rng(0).uniform(0, 1, (1, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(metrics.flicker(steady, clean), np.zeros(3), atol=1e-6)


def test_flicker_of_an_error_that_comes_and_goes():
    clean, _ = clean_and_noisy(8, 8, count=4)
    sign = np.array([0, 1, -1, -1], np.float32).reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(metrics.flicker(clean + 0.1 * sign, clean), [0.1, 0.2, 0], atol=1e-6)


def test_flicker_of_a_clip_in_pieces():
    clean, noisy = clean_and_noisy(8, 8, count=5)
    whole = metrics.flicker(noisy, clean)
    pieces = [metrics.flicker(noisy[s], clean[s]) for s in (slice(0, 3), slice(2, 5))]
    np.testing.assert_allclose(np.concatenate(pieces), whole, rtol=1e-6)


def test_change_needs_no_truth():
    frames = np.array([0, 0.25, 0.25], np.float32).reshape(-1, 1, 1, 1) * np.ones((3, 2, 2, 3))
    np.testing.assert_allclose(metrics.change(frames), [0.25, 0])


def test_keypoint_distance_averages_coordinates():
    kp_a = np.zeros((2, 3, 2), np.float32)
    kp_b = kp_a.copy()
    kp_b[1, 0] = (0.6, -1.2)
    np.testing.assert_allclose(metrics.keypoint_distance(kp_a, kp_b), [0, 0.3], rtol=1e-6)
