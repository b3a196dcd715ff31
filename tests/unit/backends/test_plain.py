"""`TPSM_PLAIN=1`, and `tracing_for("plain")` within a process, leave plain XLA forms only."""

import os
import subprocess
import sys

import jax
import jax.extend
import jax.numpy as jnp
import pytest

from tpsm_jax.backends.backend import backend, tracing_for
from tpsm_jax.backends.convolution import convolve
from tpsm_jax.backends.linear_solve import solve
from tpsm_jax.backends.max_pool import max_pool
from tpsm_jax.backends.scale_channels import scale_channels
from tpsm_jax.backends.upsample_conv import upsample_conv
from tpsm_jax.nn.layers import conv
from tpsm_jax.nn.upsample_conv import UpsampleConv

# What special forms are made of.
SPECIAL = {"custom_vjp_call", "optimization_barrier", "dot_general", "while", "scan", "slice"}
CONVOLUTION = "conv_general_dilated"


def shape(*sides, dtype="float32"):
    return jax.ShapeDtypeStruct(sides, jnp.dtype(dtype))


def apply_layer(layer, x, kernel):
    variables = {"params": {"kernel": kernel, "bias": jnp.zeros(kernel.shape[-1])}}
    return layer.apply(variables, x)


def cases(dtype):
    """Name -> a function, its arguments, and the primitive of its plain form."""

    def convolution(size, side, channels, features):
        function = lambda x, kernel: convolve(x, kernel, padding=size // 2)  # noqa: E731
        arguments = (1, side, side, channels), (size, size, channels, features)
        return function, tuple(shape(*sides, dtype=dtype) for sides in arguments), CONVOLUTION

    picture, kernel = shape(1, 16, 16, 8, dtype=dtype), shape(3, 3, 8, 8)
    kernel_of_type = shape(3, 3, 8, 8, dtype=dtype)
    layer = conv(8, 8, 3, dtype=dtype)
    up_layer = UpsampleConv(8, dtype=dtype)
    return {
        "large picture": convolution(3, 64, 64, 16),
        "small picture": convolution(3, 2, 64, 16),
        "winograd": convolution(3, 32, 256, 256),
        "one feature": convolution(7, 16, 32, 1),
        "few features": convolution(7, 16, 64, 3),
        "conv layer": (lambda *args: apply_layer(layer, *args), (picture, kernel), CONVOLUTION),
        "up-convolution": (upsample_conv, (picture, kernel_of_type), CONVOLUTION),
        "up-conv layer": (
            lambda *args: apply_layer(up_layer, *args),
            (picture, kernel),
            CONVOLUTION,
        ),
        "max pool": (lambda x: max_pool(x, 3, padding=1), (picture,), "reduce_window_max"),
        "scaled channels": (scale_channels, (picture, shape(1, 16, 16, dtype=dtype)), "mul"),
    }


def primitives(jaxpr):
    """Names of all primitives, those of nested programs included."""
    names = set()
    for equation in jaxpr.eqns:
        names.add(equation.primitive.name)
        for nested in jax.extend.core.jaxprs_in_params(equation.params):
            names |= primitives(nested)
    return names


def traced(function, arguments):
    return primitives(jax.make_jaxpr(function)(*arguments).jaxpr)


def traced_backward(function, arguments):
    def total(*arguments):
        return jnp.sum(function(*arguments).astype(jnp.float32))

    return traced(jax.grad(total, tuple(range(len(arguments)))), arguments)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", cases("float32"))
def test_plain_forms_are_xlas_own(name, dtype):
    function, arguments, plain = cases(dtype)[name]
    with tracing_for("cpu"):
        assert (traced(function, arguments) | traced_backward(function, arguments)) & SPECIAL
    with tracing_for("plain"):
        forward, backward = traced(function, arguments), traced_backward(function, arguments)
    assert plain in forward
    assert not forward & SPECIAL
    assert not backward & SPECIAL


def test_a_plain_solve_is_xlas_own():
    arguments = shape(8, 8), shape(8, 2)
    loops = {"while", "scan"}
    with tracing_for("tpu"):
        assert traced(solve, arguments) & loops
    with tracing_for("plain"):
        assert "lu" in traced(solve, arguments)
        assert not (traced(solve, arguments) | traced_backward(solve, arguments)) & loops


def test_traces_in_one_process_are_kept_apart():
    x, kernel = jnp.ones((1, 2, 2, 64)), jnp.ones((3, 3, 64, 16))
    function = jax.jit(lambda x, kernel: convolve(x, kernel, padding=1))
    assert "convolution" not in function.lower(x, kernel).as_text()
    with tracing_for("plain"):
        assert "convolution" in function.lower(x, kernel).as_text()
    assert "convolution" not in function.lower(x, kernel).as_text()


SCRIPT = """
import jax
from tpsm_jax.backends.backend import backend, tracing_for
from tpsm_jax.backends.convolution import convolve
assert backend() == "plain"
with tracing_for("cpu"):
    assert backend() == "plain"
    shapes = jax.ShapeDtypeStruct((1, 2, 2, 64), "float32"), jax.ShapeDtypeStruct(
        (3, 3, 64, 16), "float32")
    print(jax.make_jaxpr(lambda x, kernel: convolve(x, kernel, padding=1))(*shapes))
"""


def test_the_environment_switches_a_whole_process():
    assert backend() == jax.default_backend()
    environment = {**os.environ, "TPSM_PLAIN": "1", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", SCRIPT]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "conv_general_dilated" in run.stdout
    assert "dot_general" not in run.stdout
    assert "custom_vjp" not in run.stdout
