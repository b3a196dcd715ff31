"""Gradients of flow and prediction in evaluation mode, against the official networks'."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import golden_cases as cases
from tests.helpers.golden_model import procedural_model
from tests.helpers.paths import GOLDEN
from tests.helpers.small import without
from tpsm_jax.checkpoints.torch import torch_from_variables

pytestmark = pytest.mark.slow
OUTPUTS = ("flow", "prediction")


def weighted_sum_gradients(case, variables_too):
    """{output: gradients of its weighted sum: (params, batch_stats) and (kp_source, kp_driving)}"""
    model, variables = procedural_model(case.params, case.seed)
    variables = without(variables, "avd_network")
    source, driving = cases.chain_pictures(case)
    moves = jnp.zeros((2, 1, case.params["common_params"]["num_tps"] * 5, 2))

    def forward(model, moves):
        # The gradient with respect to a shift of keypoints is that with respect to keypoints.
        kp_source = model.kp_detector(source) + moves[0]
        kp_driving = model.kp_detector(driving) + moves[1]
        background = model.bg_predictor(source, driving)
        motion = model.dense_motion_network(source, kp_driving, kp_source, background)
        painted = model.inpainting_network(source, motion)
        return motion["deformation"], painted["prediction"]

    def total(params, moves, output):
        outputs = model.apply({**variables, "params": params}, moves, method=forward)
        value = outputs[OUTPUTS.index(output)]
        return jnp.sum(value * cases.gradient_weights(output, value.shape))

    arguments = (0, 1) if variables_too else 1
    gradient = jax.jit(jax.grad(total, argnums=arguments), static_argnums=2)
    return variables, {name: gradient(variables["params"], moves, name) for name in OUTPUTS}


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN / "tiny_gradients.npz")


@pytest.fixture(scope="module")
def tiny():
    return weighted_sum_gradients(cases.GRADIENTS, variables_too=True)


def assert_keypoint_gradients_close(actual, golden, output, bound):
    for i, kind in enumerate(("kp_source", "kp_driving")):
        expected = golden[f"{output}/{kind}"]
        difference = np.abs(np.asarray(actual[i]) - expected).max()
        assert difference <= bound * np.abs(expected).max(), (kind, difference)


@pytest.mark.parametrize("output", OUTPUTS)
def test_keypoint_gradients(tiny, golden, output):
    _, gradients = tiny
    assert_keypoint_gradients_close(gradients[output][1], golden, output, cases.GRADIENT)


@pytest.mark.parametrize("output", OUTPUTS)
def test_parameter_gradients(tiny, golden, output):
    variables, gradients = tiny
    by_network = torch_from_variables(
        {**variables, "params": gradients[output][0]}, cases.GRADIENTS.params
    )
    actual = {f"{name}.{key}": a for name, state in by_network.items() for key, a in state.items()}
    columns = [golden[f"{output}/{kind}"] for kind in ("norm", "true_norm", "largest", "samples")]
    typical = np.median(columns[1][columns[1] > 0])
    without_gradient = 0
    for name, norm, true_norm, largest, samples in zip(golden["names"], *columns, strict=True):
        gradient = actual[str(name)]
        if true_norm < 1e-6 * typical:
            # A bias in front of a normalization: both codes find rounding noise there.
            assert np.linalg.norm(gradient) < 1e-4 * typical, name
            without_gradient += 1
            continue
        difference = np.abs(cases.gradient_samples(gradient) - samples).max()
        assert difference <= cases.GRADIENT * largest, (name, difference / largest)
        difference = abs(np.linalg.norm(gradient) - norm)
        assert difference <= cases.GRADIENT * norm, (name, difference / norm)
    assert len(golden["names"]) - without_gradient > 100


@pytest.fixture(scope="module")
def vox():
    return weighted_sum_gradients(cases.CHAINS["vox"], variables_too=False)


@pytest.mark.long
@pytest.mark.parametrize("output", OUTPUTS)
def test_keypoint_gradients_of_the_vox_networks(vox, output):
    # Some relu of the millions always changes side by rounding alone (see golden_cases.py), so
    # that even the official code is not within 1e-4 of itself: four times its distance is allowed.
    golden = np.load(GOLDEN / "keypoint_gradients.npz")
    for i, kind in enumerate(("kp_source", "kp_driving")):
        expected, noise = golden[f"{output}/{kind}"], golden[f"noise/{output}/{kind}"]
        assert noise < 1e-2 * np.abs(expected).max()
        difference = np.abs(np.asarray(vox[1][output][i]) - expected).max()
        assert difference <= 4 * noise, (kind, difference, noise)
