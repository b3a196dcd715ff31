"""Geometry and resampling, compared with arrays of the official code and PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import golden_op_cases as cases
from tests.helpers.paths import GOLDEN
from tpsm_jax.ops.coordinates import coordinate_grid, gaussian_heatmaps
from tpsm_jax.ops.grid_sample import grid_sample
from tpsm_jax.ops.resample import antialias_downsample, antialias_kernel, resize_align_corners
from tpsm_jax.ops.thin_plate_spline import (
    ThinPlateSpline,
    evaluate_thin_plate_spline,
    fit_thin_plate_spline,
)

SAMPLES = cases.grid_sample_cases()
SPLINES = cases.spline_cases()
# The other splines' systems are near singular: there the official code itself is only so exact.
WELL_POSED = ("spread", "unmoved")
# A spline's gradient holds that of r^2 log(r^2), and sums over 59 points.
GRADIENT = 2e-5


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN / "ops.npz")


def assert_close(actual, golden, name, bound):
    np.testing.assert_allclose(np.asarray(actual), golden[name], rtol=0, atol=bound, err_msg=name)


@pytest.mark.parametrize("name", cases.GRIDS)
def test_coordinate_grid(golden, name):
    assert_close(coordinate_grid(*cases.GRIDS[name]), golden, f"coordinate_grid/{name}", 1e-7)


@pytest.mark.parametrize("name", cases.GRIDS)
def test_heatmaps(golden, name):
    heatmaps = gaussian_heatmaps(cases.heatmap_keypoints(), *cases.GRIDS[name])
    assert_close(heatmaps, golden, f"heatmaps/{name}", 2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["zeros", "reflection"])
@pytest.mark.parametrize("name", [name for name in SAMPLES if not name.endswith("/extreme")])
def test_grid_sample(golden, name, mode):
    sampled = grid_sample(*SAMPLES[name], padding_mode=mode)
    # 1000 half-widths outside, a float32 coordinate is itself 6e-5 wide: 4e-4 pixels.
    bound = 1e-3 if mode == "reflection" and name.endswith("/far") else 2e-6
    assert_close(sampled, golden, f"grid_sample/{mode}/{name}", bound)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["zeros", "reflection"])
@pytest.mark.parametrize("name", [name for name in SAMPLES if name.endswith("/around")])
def test_grid_sample_gradients(golden, name, mode):
    image, grid = SAMPLES[name]
    key = f"grid_sample/{mode}/{name}"
    weights = cases.output_weights(key, (*grid.shape[:2], image.shape[-1]))

    def total(image, grid):
        return jnp.sum(grid_sample(image, grid, padding_mode=mode) * weights)

    image_gradient, grid_gradient = jax.grad(total, argnums=(0, 1))(image, grid)
    assert_close(image_gradient, golden, f"{key}/image_gradient", 4e-6)
    assert_close(grid_gradient, golden, f"{key}/grid_gradient", 2e-5)


@pytest.mark.parametrize("name", [name for name in SAMPLES if name.endswith("/extreme")])
def test_grid_sample_of_finite_extremes_is_finite_and_zero_outside(golden, name):
    # Beyond 1e30 PyTorch multiplies an infinite weight by the zero outside, and says NaN.
    expected = np.nan_to_num(golden[f"grid_sample/zeros/{name}"])
    np.testing.assert_allclose(grid_sample(*SAMPLES[name]), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", [name for name in SAMPLES if name.endswith("/extreme")])
def test_grid_sample_reflects_finite_extremes_into_the_picture(golden, name):
    # So far out the position within the picture is rounding, in PyTorch too; only its range is
    # defined. Where neither coordinate is far out, the value is.
    image, grid = SAMPLES[name]
    sampled = np.asarray(grid_sample(image, grid, padding_mode="reflection"))
    assert np.isfinite(sampled).all()
    assert sampled.min() >= image.min() - 1e-6
    assert sampled.max() <= image.max() + 1e-6
    near = np.abs(grid).max(axis=-1) <= 1
    expected = golden[f"grid_sample/reflection/{name}"]
    np.testing.assert_allclose(sampled[near], expected[near], rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", cases.RESIZES)
def test_resize_align_corners(golden, name):
    size_in, size_out = cases.RESIZES[name]
    image = cases.uniform(f"resize/{name}", (1, *size_in, 2), -1, 1)[0]
    # PyTorch computes positions in float32: 4e-6 of a pixel off in the largest case.
    assert_close(resize_align_corners(image, *size_out), golden, f"resize/{name}", 5e-6)


@pytest.mark.parametrize("scale", cases.DOWNSAMPLE_SCALES)
@pytest.mark.parametrize("name", cases.DOWNSAMPLE_SIZES)
def test_antialias_downsample(golden, name, scale):
    image = cases.uniform(f"down/{name}", (1, *cases.DOWNSAMPLE_SIZES[name], 3), 0, 1)[0]
    assert_close(antialias_downsample(image, scale), golden, f"downsample/{scale}/{name}", 2e-6)


@pytest.mark.parametrize("scale", [scale for scale in cases.DOWNSAMPLE_SCALES if scale != 1])
def test_antialias_kernel(golden, scale):
    assert_close(antialias_kernel(scale), golden, f"antialias_kernel/{scale}", 1e-7)


@pytest.mark.parametrize("name", SPLINES)
def test_spline(golden, name):
    spline = fit_thin_plate_spline(*SPLINES[name])
    points = evaluate_thin_plate_spline(spline, cases.spline_points())
    actual = {"affine": spline.affine, "weights": spline.weights, "points": points}
    for kind, value in actual.items():
        key = f"spline/{name}/{kind}"
        assert_close(value, golden, key, _spline_bound(golden, name, key, 2e-6))


@pytest.mark.slow
@pytest.mark.parametrize("name", SPLINES)
def test_spline_gradients(golden, name):
    points = cases.spline_points()
    weights = cases.output_weights("spline", points.shape)

    def total(control_points, targets):
        spline = fit_thin_plate_spline(control_points, targets)
        return jnp.sum(evaluate_thin_plate_spline(spline, points) * weights)

    gradients = jax.grad(total, argnums=(0, 1))(*SPLINES[name])
    for kind, gradient in zip(("control", "target"), gradients, strict=True):
        assert np.isfinite(gradient).all()
        key = f"spline/{name}/{kind}_gradient"
        expected = golden[key]
        defined = np.isfinite(expected)
        bound = _spline_bound(golden, name, key, GRADIENT)
        np.testing.assert_allclose(
            np.asarray(gradient)[defined], expected[defined], rtol=0, atol=bound, err_msg=key
        )


def _spline_bound(golden, name, key, well_posed):
    """Where points coincide or are in line, ten times the official code's own rounding."""
    if name in WELL_POSED:
        return well_posed
    return max(well_posed, 10 * np.nan_to_num(golden[f"noise/{key}"]))


def test_random_spline_with_its_noise_fixed(golden):
    affine, weights, points = cases.random_spline_inputs()
    control_points = coordinate_grid(5, 5).reshape(-1, 2)
    spline = ThinPlateSpline(control_points, weights[:, None], affine)
    assert_close(evaluate_thin_plate_spline(spline, points), golden, "random_spline/points", 2e-6)
    grid = evaluate_thin_plate_spline(spline, coordinate_grid(6, 9))
    assert_close(grid, golden, "random_spline/grid", 2e-6)
