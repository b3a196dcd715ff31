"""Geometry against independent NumPy and SciPy forms, and at its extremes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from tpsm_jax.ops.coordinates import coordinate_grid, gaussian_heatmaps
from tpsm_jax.ops.grid_sample import grid_sample
from tpsm_jax.ops.resample import antialias_downsample, antialias_kernel, resize_align_corners
from tpsm_jax.ops.thin_plate_spline import (
    AFFINE_REGULARIZATION,
    evaluate_thin_plate_spline,
    fit_affine,
    fit_thin_plate_spline,
    random_thin_plate_spline,
)


def random_image(height, width, channels=2, seed=0):
    return np.random.default_rng(seed).uniform(size=(height, width, channels)).astype(np.float32)


def test_coordinate_grid_has_its_corners_at_one():
    grid = np.asarray(coordinate_grid(3, 5))
    np.testing.assert_array_equal(grid[0, :, 0], [-1, -0.5, 0, 0.5, 1])
    np.testing.assert_array_equal(grid[:, 0, 1], [-1, 0, 1])


def test_heatmap_is_one_at_its_keypoint_and_falls_with_the_distance():
    heatmap = np.asarray(gaussian_heatmaps(jnp.array([[0.0, -1.0]]), 3, 3, variance=0.5))[..., 0]
    assert heatmap[0, 1] == 1
    np.testing.assert_allclose(heatmap[1, 0], np.exp(-2), rtol=1e-6)


@pytest.mark.parametrize(
    ("padding_mode", "scipy_mode"), [("zeros", "grid-constant"), ("reflection", "mirror")]
)
def test_grid_sample_equals_scipys_map_coordinates(padding_mode, scipy_mode):
    image = random_image(5, 8)
    grid = np.random.default_rng(1).uniform(-2.5, 2.5, (9, 7, 2)).astype(np.float32)
    actual = grid_sample(image, grid, padding_mode=padding_mode)
    x, y = (grid[..., 0] + 1) / 2 * 7, (grid[..., 1] + 1) / 2 * 4
    for channel in range(2):
        expected = scipy.ndimage.map_coordinates(
            image[..., channel], [y, x], order=1, mode=scipy_mode
        )
        np.testing.assert_allclose(actual[..., channel], expected, atol=3e-6)


@pytest.mark.slow
@pytest.mark.parametrize("padding_mode", ["zeros", "reflection"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 4), (4, 1)])
def test_grid_sample_over_axes_of_length_one(padding_mode, height, width):
    image = random_image(height, width)
    grid = coordinate_grid(height, width)
    np.testing.assert_allclose(
        grid_sample(image, grid, padding_mode=padding_mode), image, atol=1e-6
    )


@pytest.mark.parametrize("padding_mode", ["zeros", "reflection"])
def test_grid_sample_stays_finite_at_finite_extremes(padding_mode):
    extremes = np.array([0, 1e3, 1e10, 3e38, -3e38, 2.0**31, np.finfo(np.float32).max], np.float32)
    grid = np.stack(np.meshgrid(extremes, extremes), axis=-1)

    def total(image, grid):
        return jnp.sum(grid_sample(image, grid, padding_mode=padding_mode))

    image = random_image(6, 6)
    value, gradients = jax.value_and_grad(total, argnums=(0, 1))(image, grid)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in gradients)


def test_grid_sample_sums_the_gradient_of_bfloat16_in_float32():
    """Every sample of a picture falls on one of its pixels."""
    grid = jnp.zeros((64, 64, 2))
    image = jnp.zeros((3, 3, 1), jnp.bfloat16)
    gradient = jax.grad(lambda image: grid_sample(image, grid).astype(jnp.float32).sum())(image)
    assert gradient.dtype == jnp.bfloat16
    assert gradient[1, 1, 0] == 64 * 64


@pytest.mark.parametrize("outside", [-1.5, 2.0, 1e10])
def test_grid_sample_adds_nothing_to_one_pixel_from_everywhere_outside(outside):
    """Nothing times infinity tells where nothing is added: by each sample to a pixel of its own."""
    grid = jnp.full((6, 8, 2), outside)
    _, pull = jax.vjp(lambda image: grid_sample(image, grid), jnp.zeros((6, 8, 1)))
    (gradient,) = pull(jnp.full((6, 8, 1), jnp.inf))
    assert np.isnan(gradient).all()


def test_grid_sample_refuses_another_padding():
    with pytest.raises(ValueError, match="border"):
        grid_sample(random_image(2, 2), jnp.zeros((1, 1, 2)), padding_mode="border")


def test_spline_nearly_interpolates_and_is_affine_for_affine_targets():
    control_points = np.random.default_rng(0).uniform(-1, 1, (5, 2)).astype(np.float32)
    affine = np.array([[1.1, 0.2], [-0.1, 0.9]], np.float32)
    targets = control_points @ affine.T + 0.1
    spline = fit_thin_plate_spline(control_points, targets)
    # Not exact: the reference regularises the whole system by 0.01.
    np.testing.assert_allclose(
        evaluate_thin_plate_spline(spline, control_points), targets, atol=0.05
    )


def test_spline_solves_the_regularized_system_in_float64():
    rng = np.random.default_rng(3)
    p, q = rng.uniform(-1, 1, (2, 5, 2))
    squared = ((p[:, None] - p[None]) ** 2).sum(-1)
    system = np.zeros((8, 8))
    system[:5, :5] = squared * np.log(squared + 1e-9)
    system[:5, 5:7] = p
    system[:5, 7] = 1
    system[5:, :5] = system[:5, 5:].T
    solution = np.linalg.solve(system + 0.01 * np.eye(8), np.concatenate([q, np.zeros((3, 2))]))
    spline = fit_thin_plate_spline(p.astype(np.float32), q.astype(np.float32))
    np.testing.assert_allclose(spline.weights, solution[:5], atol=1e-5)
    np.testing.assert_allclose(spline.affine.T, solution[5:], atol=1e-5)


def test_an_affine_fit_has_the_least_squared_error():
    rng = np.random.default_rng(4)
    p, q = rng.uniform(-1, 1, (2, 5, 2))
    # The pull toward the identity as two further equations between points and targets.
    pull = np.sqrt(AFFINE_REGULARIZATION) * np.eye(2)
    left, right = (np.concatenate([x - x.mean(0), pull]) for x in (p, q))
    linear = np.linalg.lstsq(left, right, rcond=None)[0].T
    spline = fit_affine(p.astype(np.float32), q.astype(np.float32))
    np.testing.assert_allclose(spline.affine[:, :2], linear, atol=1e-5)
    np.testing.assert_allclose(spline.affine[:, 2], q.mean(0) - linear @ p.mean(0), atol=1e-5)
    points = rng.uniform(-1, 1, (3, 4, 2)).astype(np.float32)
    found = evaluate_thin_plate_spline(spline, points)
    np.testing.assert_allclose(found, (points - p.mean(0)) @ linear.T + q.mean(0), atol=1e-5)


def test_an_affine_fit_of_one_place_is_a_shift_with_a_finite_gradient():
    place = jnp.full((5, 2), 0.25)
    np.testing.assert_allclose(fit_affine(place, place + 0.5).affine, [[1, 0, 0.5], [0, 1, 0.5]])
    gradient = jax.grad(lambda p: jnp.sum(fit_affine(p, place).affine ** 2))(place)
    assert np.isfinite(gradient).all()


@pytest.mark.slow
def test_spline_has_a_finite_gradient_where_points_coincide():
    control_points = jnp.array([[0.1, 0.2]] * 3 + [[0.5, -0.5], [-0.7, 0.3]])
    points = coordinate_grid(4, 4)

    def total(control_points, targets):
        return jnp.sum(
            evaluate_thin_plate_spline(fit_thin_plate_spline(control_points, targets), points) ** 2
        )

    gradients = jax.grad(total, argnums=(0, 1))(control_points, control_points + 0.1)
    assert all(np.isfinite(g).all() for g in gradients)
    assert all(np.abs(g).max() > 0 for g in gradients)


@pytest.mark.slow
def test_random_spline_has_the_spread_it_is_asked_for():
    def draw(rng):
        return random_thin_plate_spline(rng, sigma_affine=0.05, sigma_tps=0.005, points_tps=5)

    splines = jax.vmap(draw)(jax.random.split(jax.random.key(0), 4000))
    assert splines.control_points.shape == (4000, 25, 2)
    assert splines.weights.shape == (4000, 25, 1)
    np.testing.assert_allclose(np.mean(splines.affine, 0), np.eye(2, 3), atol=0.005)
    np.testing.assert_allclose(np.std(splines.affine, 0), 0.05, rtol=0.05)
    np.testing.assert_allclose(np.std(splines.weights), 0.005, rtol=0.02)


def test_random_spline_without_noise_is_the_identity():
    spline = random_thin_plate_spline(jax.random.key(0), sigma_affine=0, sigma_tps=0, points_tps=5)
    grid = coordinate_grid(6, 7)
    np.testing.assert_allclose(evaluate_thin_plate_spline(spline, grid), grid, atol=1e-7)


def test_antialias_kernel_is_a_normalized_gaussian():
    kernel = antialias_kernel(0.25)
    assert kernel.shape == (13, 13)
    np.testing.assert_allclose(kernel.sum(), 1, rtol=1e-6)
    np.testing.assert_allclose(kernel[6, 7] / kernel[6, 6], np.exp(-1 / (2 * 1.5**2)), rtol=1e-6)


@pytest.mark.parametrize(
    ("scale", "height", "width"), [(0.5, 8, 12), (0.25, 16, 9), (0.125, 17, 32)]
)
def test_antialias_downsample_equals_scipys_convolution(scale, height, width):
    image = random_image(height, width)
    actual = antialias_downsample(image, scale)
    step = round(1 / scale)
    for channel in range(2):
        blurred = scipy.ndimage.convolve(
            image[..., channel], antialias_kernel(scale), mode="constant"
        )
        expected = blurred[::step, ::step][: height // step, : width // step]
        np.testing.assert_allclose(actual[..., channel], expected, atol=1e-6)


def test_antialias_downsample_by_one_changes_nothing():
    image = random_image(4, 4)
    np.testing.assert_array_equal(antialias_downsample(image, 1), image)


@pytest.mark.parametrize(
    ("size_in", "size_out"), [((4, 6), (9, 3)), ((1, 5), (4, 1)), ((3, 1), (3, 2))]
)
def test_resize_align_corners_equals_scipys_zoom(size_in, size_out):
    image = random_image(*size_in)
    y, x = np.meshgrid(
        *(np.linspace(0, i - 1 if o > 1 else 0, o) for i, o in zip(size_in, size_out, strict=True)),
        indexing="ij",
    )
    actual = resize_align_corners(image, *size_out)
    for channel in range(2):
        expected = scipy.ndimage.map_coordinates(image[..., channel], [y, x], order=1)
        np.testing.assert_allclose(actual[..., channel], expected, atol=1e-6)
