"""Loss terms and running statistics of a training step in float32, against the official code."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import golden_training_cases as cases
from tests.helpers.golden_model import procedural_model
from tests.helpers.golden_trajectories import make_draws, vgg19
from tests.helpers.paths import GOLDEN
from tests.helpers.small import without
from tpsm_jax.checkpoints.torch import torch_from_variables
from tpsm_jax.training.losses import make_features
from tpsm_jax.training.recipes.tpsm import LossSettings, tpsm_losses

# Of each value; of the largest entry.
LOSSES, STATISTICS = 1e-5, 1e-5


@pytest.mark.long
def test_losses_and_statistics_in_float32():
    case = cases.CASES["losses"]
    golden = np.load(GOLDEN / "training_losses.npz")
    model, variables = procedural_model(case.model_params, case.seed)
    inputs = cases.inputs(case, 0)
    features = functools.partial(make_features("vgg19"), vgg19())

    def losses(variables, source, driving, draws):
        settings = LossSettings.of(cases.train_params(case))
        batch = {"source": source, "driving": driving}
        terms, _, statistics = tpsm_losses(
            model, variables, batch, draws, settings, features, background=True
        )
        return terms, statistics

    arguments = (
        without(variables, "avd_network"),
        inputs.source,
        inputs.driving,
        make_draws(inputs, jnp.float32),
    )
    terms, statistics = jax.jit(losses)(*arguments)
    assert set(terms) == {"perceptual", "equivariance_value", "warp_loss", "bg"}
    for name, value in terms.items():
        np.testing.assert_allclose(value, golden[f"losses/{name}"], rtol=LOSSES, err_msg=name)
    networks = torch_from_variables(
        {"params": arguments[0]["params"], "batch_stats": statistics}, case.model_params
    )
    keys = [key for key in golden.files if key.startswith("statistics/")]
    assert len(keys) == 80
    for key in keys:
        network, _, tensor = key.removeprefix("statistics/").partition(".")
        distance = np.abs(networks[network][tensor] - golden[key]).max()
        assert distance <= STATISTICS * np.abs(golden[key]).max(), (key, distance)
