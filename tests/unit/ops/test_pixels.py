"""The conversions within programs: those of NumPy, to the bit."""

import jax
import jax.numpy as jnp
import numpy as np

from tpsm_jax.media import images
from tpsm_jax.ops.pixels import to_float, to_float_exactly, to_uint8

LEVELS = np.arange(256, dtype=np.uint8)


def test_to_float_exactly_equals_numpys_to_the_bit():
    np.testing.assert_array_equal(jax.jit(to_float_exactly)(LEVELS), images.to_float(LEVELS))
    floats = jnp.asarray([0.25, 1], jnp.bfloat16)
    assert to_float_exactly(floats).dtype == jnp.float32
    np.testing.assert_array_equal(to_float_exactly(floats), [0.25, 1])


def test_to_float_is_off_by_one_float_at_most():
    found = jax.jit(to_float)(LEVELS)
    np.testing.assert_array_max_ulp(np.asarray(found), images.to_float(LEVELS), maxulp=1)
    np.testing.assert_array_equal(to_uint8(found), LEVELS)


def test_to_uint8_equals_numpys():
    values = np.float32([-1, 0, 0.5, 0.4999 / 255, 0.5001 / 255, 1, 7, *np.linspace(0, 1, 1000)])
    np.testing.assert_array_equal(jax.jit(to_uint8)(values), images.to_uint8(values))
    np.testing.assert_array_equal(to_uint8(to_float_exactly(LEVELS)), LEVELS)
