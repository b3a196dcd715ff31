"""Every form of a convolution equals XLA's own, in values and gradients."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tpsm_jax.backends import convolution, few_features, thresholds
from tpsm_jax.backends.convolution import convolve


def plain(x, kernel, strides, padding):
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (strides, strides),
        ((padding, padding), (padding, padding)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=jax.lax.Precision.HIGHEST,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "size", "features", "strides", "padding"),
    [
        ((2, 9, 12, 5), 3, 7, 1, 1),
        ((1, 8, 8, 4), 7, 1, 1, 3),
        ((2, 9, 9, 3), 2, 8, 1, 0),
        ((2, 2, 2, 6), 3, 4, 1, 1),  # smaller than the kernel
        ((2, 1, 4, 6), 3, 4, 1, 1),
        ((2, 8, 10, 3), 7, 4, 2, 3),
        ((2, 9, 12, 8), 7, 1, 1, 3),  # few features
        ((2, 6, 5, 9), 4, 2, 1, 1),
        ((2, 6, 8, 5), 3, 7, 1, 1),  # even, as Winograd requires
    ],
)
@pytest.mark.parametrize("special_forms", [True, False])
def test_values_and_gradients(monkeypatch, special_forms, shape, size, features, strides, padding):
    for name in ("LARGE_PICTURE", "LARGE_KERNEL", "WINOGRAD_CHANNELS"):
        monkeypatch.setattr(thresholds, name, 0 if special_forms else math.inf)
    monkeypatch.setattr(thresholds, "WINOGRAD_PIXELS", (0, math.inf))
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape).astype(np.float32)
    kernel = rng.standard_normal((size, size, shape[-1], features)).astype(np.float32)

    def ours(x, kernel):
        return convolve(x, kernel, strides=strides, padding=padding)

    expected, pull_expected = jax.vjp(lambda x, k: plain(x, k, strides, padding), x, kernel)
    actual, pull = jax.vjp(ours, x, kernel)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)
    gradient = rng.standard_normal(expected.shape).astype(np.float32)
    for a, b in zip(pull(gradient), pull_expected(gradient), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "features", "large_picture", "large_kernel"),
    [((1, 64, 64, 33), 17, True, False), ((1, 4, 4, 96), 96, False, True), ((1, 8, 8, 8), 8, 0, 0)],
)
def test_gradients_are_matmuls_by_size(shape, features, large_picture, large_kernel):
    called = []
    x, kernel = jnp.zeros(shape), jnp.zeros((3, 3, shape[-1], features))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("input_gradient_by_matmul", "kernel_gradient_by_matmul"):
            original = getattr(convolution, name)
            patch.setattr(
                convolution,
                name,
                lambda *args, name=name, original=original: called.append(name) or original(*args),
            )
        jax.grad(lambda x, kernel: convolve(x, kernel, padding=1).sum(), (0, 1))(x, kernel)
    expected = ["input_gradient_by_matmul"] * large_kernel + [
        "kernel_gradient_by_matmul"
    ] * large_picture
    assert called == expected


@pytest.mark.parametrize(
    ("size", "channels", "features", "few"),
    [(7, 37, 1, True), (7, 148, 11, True), (7, 64, 3, True), (7, 3, 64, False), (3, 2048, 512, 0)],
)
def test_masks_pictures_and_maps_have_few_features(size, channels, features, few):
    kernel = jax.ShapeDtypeStruct((size, size, channels, features), jnp.float32)
    assert few_features.is_few_features(kernel) == few


@pytest.mark.parametrize(
    ("shape", "features", "size", "padding", "expected"),
    [
        ((1, 32, 32, 256), 256, 3, 1, True),
        ((5, 16, 64, 256), 512, 3, 1, True),
        ((5, 16, 32, 256), 256, 3, 1, False),  # the batch does not count
        ((1, 32, 33, 256), 256, 3, 1, False),
        ((1, 128, 128, 256), 256, 3, 1, True),
        ((1, 128, 256, 256), 256, 3, 1, False),
        ((1, 32, 32, 255), 256, 3, 1, False),
        ((1, 32, 32, 256), 255, 3, 1, False),
        ((1, 32, 32, 256), 256, 3, 0, False),
        ((1, 32, 32, 256), 256, 7, 3, False),
    ],
)
def test_winograd_is_chosen_by_size(shape, features, size, padding, expected):
    x, kernel = jnp.zeros(shape), jnp.zeros((size, size, shape[-1], features))
    assert convolution._is_for_winograd(x, kernel, padding) == expected


@pytest.mark.parametrize(
    ("shape", "features", "expected"),
    [
        ((1, 16, 16, 128), 128, True),
        ((5, 128, 128, 128), 256, True),
        ((1, 16, 14, 128), 128, False),
        ((1, 128, 130, 128), 128, False),
        ((1, 17, 32, 128), 128, False),
        ((1, 16, 16, 127), 128, False),
        ((1, 16, 16, 128), 127, False),
    ],
)
def test_winograd_is_chosen_by_size_in_bfloat16(shape, features, expected):
    x = jax.ShapeDtypeStruct(shape, jnp.bfloat16)
    kernel = jax.ShapeDtypeStruct((3, 3, shape[-1], features), jnp.bfloat16)
    assert convolution._is_for_winograd(x, kernel, 1) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("side", "channels", "features", "form"),
    [
        (1, 8, 8, "convolve_by_matmul"),
        (8, 96, 128, "convolve_by_matmul"),
        (10, 128, 128, "_convolve_with_matmul_gradients"),
        (9, 128, 1, "convolve_to_few"),
        (16, 128, 128, "winograd"),
    ],
)
def test_bfloat16_has_its_own_forms(monkeypatch, side, channels, features, form):
    """Each is as close to the plain sum in float32 as the type of results and factors allows."""
    called = []

    def record(module, name):
        original = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *args, **options: called.append(name) or original(*args, **options)
        )

    for name in (
        "convolve_by_matmul",
        "winograd",
        "input_gradient_by_matmul",
        "kernel_gradient_by_matmul",
    ):
        record(convolution, name)
    record(few_features, "convolve_to_few")
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((2, side, side, channels)), jnp.bfloat16)
    scale = (9 * channels) ** -0.5
    kernel = jnp.asarray(scale * rng.standard_normal((3, 3, channels, features)), jnp.bfloat16)
    wide = x.astype(jnp.float32), kernel.astype(jnp.float32)
    expected, pull_expected = jax.vjp(lambda x, k: plain(x, k, 1, 1), *wide)
    actual, pull = jax.vjp(lambda x, k: convolve(x, k, padding=1), x, kernel)
    gradient = jnp.asarray(rng.standard_normal(expected.shape), jnp.bfloat16)
    pairs = [(actual, expected)]
    pairs += zip(pull(gradient), pull_expected(gradient.astype(jnp.float32)), strict=True)
    for a, b in pairs:
        assert a.dtype == jnp.bfloat16
        # bfloat16 has 8 bits. Winograd rounds the factors of its products once more.
        distance = jnp.abs(a.astype(jnp.float32) - b) / jnp.std(b)
        assert distance.mean() < (2**-7 if form == "winograd" else 2**-9)
        assert distance.max() < 2**-4
    products = {
        "convolve_by_matmul": [form, "input_gradient_by_matmul", "kernel_gradient_by_matmul"],
        "winograd": [form, form, "kernel_gradient_by_matmul"],
        "convolve_to_few": [form, form],  # its gradient calls it again
    }
    assert called == products.get(form, [])
