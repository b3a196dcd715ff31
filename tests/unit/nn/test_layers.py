"""Layers against independent forms."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tpsm_jax.nn.batch_norm import BatchNorm
from tpsm_jax.nn.instance_norm import InstanceNorm
from tpsm_jax.nn.layers import conv
from tpsm_jax.nn.upsample_conv import UpsampleConv


@pytest.mark.slow
@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 5), (8, 7), (8, 8)])
def test_upsample_conv_is_a_convolution_of_the_enlarged_picture(height, width):
    """The layer with its bias; test_upsample_conv.py has both forms at all of these sizes."""
    x = jax.random.normal(jax.random.key(0), (2, height, width, 3))
    variables = UpsampleConv(4).init(jax.random.key(1), x)
    enlarged = jax.image.resize(x, (2, 2 * height, 2 * width, 3), "nearest")
    expected = nn.Conv(4, (3, 3), padding=1).apply(variables, enlarged)
    actual = UpsampleConv(4).apply(variables, x)
    np.testing.assert_allclose(actual, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("module", "side"),
    [
        (UpsampleConv(3, dtype=jnp.bfloat16), 4),  # too small for a matmul
        (UpsampleConv(3, dtype=jnp.bfloat16), 8),
        (conv(8, 3, 3, dtype=jnp.bfloat16), 8),
        (conv(8, 3, 3, dtype=jnp.bfloat16), 10),
        (conv(128, 128, 3, dtype=jnp.bfloat16), 16),
        (conv(8, 3, 3, strides=2, dtype=jnp.bfloat16), 8),
    ],
)
def test_a_kernel_given_in_the_type_it_is_used_in_changes_no_bit(module, side):
    """`Animator` converts kernels once for all frames."""
    channels = 128 if side == 16 else 8
    x = jax.random.normal(jax.random.key(0), (1, side, side, channels), jnp.bfloat16)
    params = module.init(jax.random.key(1), x)["params"]
    converted = {**params, "kernel": params["kernel"].astype(jnp.bfloat16)}
    apply = jax.jit(lambda params: module.apply({"params": params}, x))
    assert apply(params).dtype == jnp.bfloat16
    np.testing.assert_array_equal(apply(params), apply(converted))


def test_batch_norm_keeps_the_unbiased_variance_with_pytorchs_momentum():
    x = jax.random.normal(jax.random.key(0), (6, 3)) * 2 + 1
    module = BatchNorm()
    variables = module.init(jax.random.key(1), x)
    _, updates = module.apply(variables, x, train=True, mutable=["batch_stats"])
    stats = updates["batch_stats"]
    np.testing.assert_allclose(stats["mean"], 0.1 * np.mean(x, 0), rtol=1e-5)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * np.var(x, 0, ddof=1), rtol=1e-5)


def test_batch_norm_normalizes_by_the_biased_variance():
    x = jax.random.normal(jax.random.key(0), (6, 3)) * 2 + 1
    out, _ = BatchNorm().init_with_output(jax.random.key(1), x, train=True)
    expected = (x - np.mean(x, 0)[None]) / np.sqrt(np.var(x, 0) + 1e-5)[None]
    np.testing.assert_allclose(out, expected, atol=1e-5)


def test_batch_norm_over_a_sharded_batch_uses_the_whole_batch():
    x = jax.random.normal(jax.random.key(0), (8, 3))
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    module = BatchNorm()
    variables = module.init(jax.random.key(1), x)

    @jax.jit
    def apply(x):
        return module.apply(variables, x, train=True, mutable=["batch_stats"])

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
        apply(jax.device_put(x, sharding)),
        apply(x),
    )


def test_instance_norm_is_flaxs_and_so_are_its_gradients():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((2, 6, 5, 3)) * 2 + 1, jnp.float32)
    weights = jnp.asarray(rng.standard_normal(x.shape), jnp.float32)
    params = {"scale": jnp.array([1.0, 0.5, 2.0]), "bias": jnp.array([0.0, 1.0, -1.0])}

    def values(module):
        def total(params, x):
            out = module.apply({"params": params}, x)
            return jnp.sum(out * weights), out

        return jax.value_and_grad(total, (0, 1), has_aux=True)(params, x)

    expected = values(nn.InstanceNorm(epsilon=1e-5, use_fast_variance=False))
    actual = values(InstanceNorm())
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), actual, expected)


@pytest.mark.parametrize("side", [1, 2])
def test_convolutions_of_pictures_smaller_than_their_kernel(side):
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, side, 3, 4)), jnp.float32)
    layer = conv(4, 5, 3)
    variables = layer.init(jax.random.key(0), x)
    kernel, bias = (variables["params"][name] for name in ("kernel", "bias"))
    expected = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(
        layer.apply(variables, x), expected + bias[None, None, None], rtol=1e-4, atol=1e-5
    )
