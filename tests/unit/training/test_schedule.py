import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers.tiny_training import tiny_config
from tpsm_jax.training.schedule import Phase, dropout_probability, learning_rate, phase_of


def test_phases_begin_where_the_config_says():
    config = tiny_config()
    config.train_params.update({"bg_start": 2, "dropout_epoch": 3})
    phases = [phase_of(config, epoch) for epoch in range(5)]
    assert phases == [
        Phase(False, True), Phase(False, True), Phase(True, True), Phase(True, False),
        Phase(True, False),
    ]  # fmt: skip


def test_a_model_without_background_predictor_has_no_background_phase():
    config = tiny_config()
    config.model_params.common_params.bg = False
    assert not phase_of(config, 50).background


def test_dropout_rises_and_stays():
    params = tiny_config().train_params
    params.update({"dropout_inc_epoch": 10, "dropout_maxp": 0.3, "dropout_startp": 0.1})
    shares = [float(dropout_probability(params, jnp.int32(epoch))) for epoch in (0, 1, 5, 7, 30)]
    np.testing.assert_allclose(shares, [0.1, 0.13, 0.25, 0.3, 0.3], rtol=1e-6)


def test_the_learning_rate_falls_at_its_milestones():
    rates = [float(learning_rate(2e-4, (3, 5), jnp.int32(epoch))) for epoch in range(7)]
    expected = np.array([2e-4] * 3 + [2e-5] * 2 + [2e-6] * 2, np.float32)
    np.testing.assert_allclose(rates, expected, rtol=1e-7)


def test_warm_up_rises_to_the_learning_rate():
    def rate(step):
        return learning_rate(1.0, (), jnp.int32(0), step=step, warmup_steps=4)

    rates = jax.vmap(rate)(jnp.arange(6))
    np.testing.assert_allclose(rates, [0.25, 0.5, 0.75, 1.0, 1.0, 1.0])


@pytest.mark.parametrize("epoch", [0, 69, 70, 89, 90, 99])
def test_the_rate_is_float32_of_the_decimal_number(epoch):
    expected = {0: "2e-4", 69: "2e-4", 70: "2e-5", 89: "2e-5", 90: "2e-6", 99: "2e-6"}[epoch]
    rate = learning_rate(2e-4, (70, 90), jnp.int32(epoch))
    np.testing.assert_array_max_ulp(np.float32(rate), np.float32(expected), 1)
