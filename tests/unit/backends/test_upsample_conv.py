"""Both forms of an up-convolution equal a convolution of the enlarged picture."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tpsm_jax.backends import thresholds, upsample_conv
from tpsm_jax.backends.backend import tracing_for
from tpsm_jax.backends.upsample_conv import upsample_conv_by_products, upsample_then_convolve

FORMS = {"upsample": upsample_then_convolve, "products": upsample_conv_by_products}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 5), (8, 7)])
def test_it_is_a_convolution_of_the_enlarged_picture(form, height, width):
    x = jax.random.normal(jax.random.key(0), (2, height, width, 3))
    kernel = jax.random.uniform(jax.random.key(1), (3, 3, 3, 4), minval=-0.2, maxval=0.2)
    enlarged = jax.image.resize(x, (2, 2 * height, 2 * width, 3), "nearest")
    expected = jax.lax.conv_general_dilated(
        enlarged, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(FORMS[form](x, kernel), expected, atol=1e-6)


@pytest.mark.slow
def test_both_forms_have_the_same_gradient():
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 3))
    kernel = jax.random.uniform(jax.random.key(1), (3, 3, 3, 2), minval=-0.2, maxval=0.2)
    weights = jax.random.normal(jax.random.key(2), (1, 8, 8, 2))

    def gradients(form):
        total = lambda x, kernel: jnp.sum(FORMS[form](x, kernel) * weights)  # noqa: E731
        return jax.grad(total, (0, 1))(x, kernel)

    for a, b in zip(gradients("products"), gradients("upsample"), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.slow
def test_products_in_bfloat16_are_close_to_the_plain_form_in_float32():
    x = jax.random.normal(jax.random.key(0), (1, 8, 8, 16), jnp.bfloat16)
    bound = (9 * 16) ** -0.5
    kernel = jax.random.uniform(jax.random.key(1), (3, 3, 16, 8), minval=-bound, maxval=bound)
    kernel = kernel.astype(jnp.bfloat16)
    gradient = jax.random.normal(jax.random.key(2), (1, 16, 16, 8), jnp.bfloat16)

    def run(form, dtype):
        out, pull = jax.vjp(form, x.astype(dtype), kernel.astype(dtype))
        return out, *pull(gradient.astype(dtype))

    with tracing_for("plain"):
        expected = run(upsample_then_convolve, jnp.float32)
    for a, b in zip(run(upsample_conv_by_products, jnp.bfloat16), expected, strict=True):
        assert a.dtype == jnp.bfloat16
        # bfloat16 has 8 bits. The folded taps are rounded to it, as is the gradient of every
        # product, and up to nine of these rounded values add up.
        distance = jnp.abs(a.astype(jnp.float32) - b) / jnp.std(b)
        assert distance.mean() < 2**-7
        assert distance.max() < 2**-4


@pytest.mark.parametrize(
    ("pays_from", "form"),
    [
        ({"cpu": 16}, "upsample_conv_by_products"),
        ({"cpu": 17}, "upsample_then_convolve"),
        ({}, "upsample_then_convolve"),
    ],
)
def test_the_measured_form_is_chosen(monkeypatch, pays_from, form):
    called = []
    monkeypatch.setattr(thresholds, "UPSAMPLE_MATMUL_PIXELS", pays_from)
    for name in ("upsample_conv_by_products", "upsample_then_convolve"):
        monkeypatch.setattr(upsample_conv, name, lambda *_, name=name: called.append(name))
    upsample_conv.upsample_conv(jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 1)))
    assert called == [form]
