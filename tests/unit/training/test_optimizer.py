import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tpsm_jax.errors import InputError
from tpsm_jax.models.tpsm import TPSM
from tpsm_jax.training.optimizer import (
    bound_gradients,
    freeze,
    frozen_parameters,
    largest_entries,
    make_optimizer,
)

BOUNDED = tuple(network.name for network in TPSM.networks if network.clipped)


def adam_by_hand(params, gradients, rate, decay):
    """The parameters after a step for each gradient; decay is added to the gradient."""
    mean, square = np.zeros_like(params), np.zeros_like(params)
    for count, gradient in enumerate(gradients, start=1):
        gradient = gradient + decay * params
        mean = 0.5 * mean + 0.5 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        corrected = np.sqrt(square / (1 - 0.999**count)) + 1e-8
        params = params - rate * (mean / (1 - 0.5**count)) / corrected
    return params


@pytest.mark.parametrize("decay", [1e-4, 0.0, 0.5])
def test_the_reference_optimizer_is_adam_with_decay_in_the_gradient(decay):
    rng = np.random.default_rng(0)
    before, gradients = rng.standard_normal(7), rng.standard_normal((3, 7))
    optimizer = make_optimizer(weight_decay=decay)
    params = jnp.asarray(before, jnp.float32)
    state = optimizer.init(params)
    for gradient in gradients:
        updates, state = optimizer.update(jnp.asarray(gradient, jnp.float32), state, params)
        params = optax.apply_updates(params, optax.tree.scale(0.01, updates))
    expected = adam_by_hand(before, gradients, 0.01, decay)
    np.testing.assert_allclose(params, expected, rtol=1e-5, atol=1e-6)


def test_an_optimizer_of_optax_by_name():
    params, gradient = jnp.ones(3), jnp.array([1.0, -2.0, 3.0])
    optimizer = make_optimizer("sgd", {"momentum": 0.9})
    updates, _ = optimizer.update(gradient, optimizer.init(params), params)
    np.testing.assert_allclose(updates, -gradient)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("no_such", {}), ("adamw", {"nope": 1}), ("tree", {}), ("cosine_decay_schedule", {})],
)
def test_what_is_no_optimizer_is_refused(name, arguments):
    with pytest.raises(InputError, match="optimizer"):
        make_optimizer(name, arguments)


def test_gradients_are_scaled_by_network_and_the_inpainting_network_is_not():
    gradients = {
        "kp_detector": {"a": jnp.array([1.0, -40.0]), "b": jnp.array([20.0])},
        "dense_motion_network": {"a": jnp.array([3.0, -4.0])},
        "bg_predictor": {"a": jnp.array([100.0])},
        "inpainting_network": {"a": jnp.array([1000.0])},
    }
    largest = largest_entries(gradients)
    assert {name: float(value) for name, value in largest.items()} == {
        "kp_detector": 40, "dense_motion_network": 4, "bg_predictor": 100,
        "inpainting_network": 1000,
    }  # fmt: skip
    scaled = bound_gradients(gradients, largest, BOUNDED)
    np.testing.assert_allclose(scaled["kp_detector"]["a"], [0.25, -10], rtol=1e-6)
    np.testing.assert_allclose(scaled["kp_detector"]["b"], [5], rtol=1e-6)
    np.testing.assert_array_equal(scaled["dense_motion_network"]["a"], [3, -4])
    np.testing.assert_allclose(scaled["bg_predictor"]["a"], [10], rtol=1e-6)
    np.testing.assert_array_equal(scaled["inpainting_network"]["a"], [1000])


PARAMS = {"kp_detector": {"conv1": jnp.ones(2), "fc": jnp.ones(2)}, "other": {"fc": jnp.ones(2)}}


def test_patterns_freeze_by_the_beginning_of_a_path():
    frozen = frozen_parameters(PARAMS, ("kp_detector/fc",))
    assert frozen == {"kp_detector": {"conv1": False, "fc": True}, "other": {"fc": False}}
    assert all(jax.tree.leaves(frozen_parameters(PARAMS, (".*",))))
    assert not any(jax.tree.leaves(frozen_parameters(PARAMS, ())))


@pytest.mark.parametrize("pattern", ["fc", "kp_detektor", "("])
def test_a_pattern_that_freezes_nothing_is_refused(pattern):
    with pytest.raises(InputError, match="freeze"):
        frozen_parameters(PARAMS, (pattern,))


def test_frozen_parameters_stay_and_have_no_state():
    optimizer = freeze(make_optimizer(), frozen_parameters(PARAMS, ("kp_detector",)))
    state = optimizer.init(PARAMS)
    # A count, and mean and square of the one array that is trained.
    assert [leaf.shape for leaf in jax.tree.leaves(state)] == [(), (2,), (2,)]
    updates, _ = optimizer.update(jax.tree.map(jnp.ones_like, PARAMS), state, PARAMS)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(updates["kp_detector"]))
    assert np.all(updates["other"]["fc"] != 0)
