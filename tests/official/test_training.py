"""Three steps of training and of its AVD stage, against the official loops' own.

The steps are computed in float64, see golden_training_cases.py.
"""

import numpy as np
import pytest

from tests.helpers import golden_training_cases as cases
from tests.helpers.golden_trajectories import STEPS, trajectory
from tests.helpers.paths import GOLDEN

# Of each value; of the largest entry; of each norm, and of the largest entry for samples. In
# float64 all of them agree to about 1e-10 here; the rest is room for other processors.
LOSSES, STATISTICS, TENSORS = 1e-5, 1e-5, 1e-5
# Of the typical tensor's norm: what rounding may leave of a tensor that has no gradient.
ROUNDING = 1e-7
OPTIMIZERS = {
    "learning_rate/generator": "rates/optimizer",
    "learning_rate/bg_predictor": "rates/optimizer_bg_predictor",
    "learning_rate/avd": "rates/optimizer_avd",
}
# Other epochs, and a model without background predictor.
LONG = ("early", "late")


@pytest.fixture(
    params=[
        pytest.param(name, marks=[pytest.mark.long] * (name in LONG))
        for name in (*cases.TRAJECTORIES, "avd")
    ]
)
def both(request):
    """Our trajectory and the official one."""
    golden = np.load(GOLDEN / f"training_{request.param}.npz")
    return trajectory(request.param), golden


def assert_tables_close(kind, ours, golden):
    """Norms and samples of every tensor; where there is no gradient but rounding, a bound."""
    columns = [golden[f"{kind}/{column}"] for column in ("norm", "largest", "samples")]
    bound = ROUNDING * np.median(columns[0])
    # Decay of the weights moves those, too, and is compared like any other update.
    is_rounding = ~golden["has_gradient"] & (columns[0] < bound)
    for name, none, norm, largest, samples in zip(
        golden["names"], is_rounding, *columns, strict=True
    ):
        our_norm, our_samples = ours.tables[kind][str(name)]
        if none:
            assert our_norm < bound, (kind, name)
            continue
        assert abs(our_norm - norm) <= TENSORS * norm, (kind, name, our_norm, norm)
        distance = np.abs(our_samples - samples).max()
        assert distance <= TENSORS * largest, (kind, name, distance / largest)


@pytest.mark.slow
def test_losses(both):
    ours, golden = both
    terms = [key for key in golden.files if key.startswith("losses/")]
    for number, metrics in enumerate(ours.metrics):
        expected = {key: golden[key][number] for key in terms if golden[key][number]}
        assert {key.replace("loss/", "losses/") for key in metrics if "loss/" in key} == set(
            expected
        )
        for key, value in expected.items():
            actual = metrics[key.replace("losses/", "loss/")]
            np.testing.assert_allclose(actual, value, rtol=LOSSES, err_msg=key)
        np.testing.assert_allclose(metrics["loss"], sum(expected.values()), rtol=LOSSES)


@pytest.mark.slow
def test_learning_rates(both):
    ours, golden = both
    for number, metrics in enumerate(ours.metrics):
        for key in [key for key in metrics if key.startswith("learning_rate/")]:
            expected = golden[OPTIMIZERS[key]][number]
            np.testing.assert_allclose(metrics[key], expected, rtol=1e-6, err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [f"gradient_{number}" for number in range(STEPS)])
def test_gradients(both, kind):
    ours, golden = both
    assert_tables_close(kind, ours, golden)
    number = int(kind[-1])
    for key in [key for key in ours.metrics[number] if key.startswith("gradient/")]:
        of_network = np.char.startswith(golden["names"], key.removeprefix("gradient/"))
        largest = golden[f"{kind}/largest"][of_network].max()
        np.testing.assert_allclose(ours.metrics[number][key], largest, rtol=TENSORS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["update", "mean", "square"])
def test_parameters_and_moments_after_three_steps(both, kind):
    assert_tables_close(kind, *both)


@pytest.mark.slow
def test_optimizers_count_their_own_steps(both):
    ours, golden = both
    for name, count in zip(golden["names"], golden["count"], strict=True):
        assert ours.counts[str(name).partition(".")[0]] == count, name


@pytest.mark.slow
def test_statistics_after_three_steps(both):
    ours, golden = both
    keys = [key for key in golden.files if key.startswith("statistics/")]
    assert len(keys) >= 18
    for key in keys:
        expected = golden[key]
        distance = np.abs(ours.statistics[key.removeprefix("statistics/")] - expected).max()
        assert distance <= STATISTICS * np.abs(expected).max(), (key, distance)


def test_the_cases_reach_what_they_are_for():
    full, early, late = (np.load(GOLDEN / f"training_{name}.npz") for name in cases.TRAJECTORIES)
    for network in ("kp_detector", "dense_motion_network", "inpainting_network", "bg_predictor"):
        of_network = np.char.startswith(full["names"], network)
        assert full["gradient_0/largest"][of_network].max() > 10, network
    background = np.char.startswith(early["names"], "bg_predictor")
    assert set(early["count"][background]) == {1}
    assert set(early["count"][~background]) == {STEPS}
    np.testing.assert_allclose(early["rates/optimizer_bg_predictor"], [2e-4, 2e-5, 2e-5])
    np.testing.assert_allclose(late["rates/optimizer"], [2e-4, 2e-5, 2e-5])
    for golden in (full, early, late):
        assert np.mean(golden["has_gradient"]) > 0.8
        # Rounding cannot be what decides: pictures moved by 1e-12 move nothing visibly.
        assert all(golden[key] < TENSORS for key in golden.files if key.startswith("noise/"))
