"""Everything from two pictures to the prediction, against the official networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import golden_cases as cases
from tests.helpers.golden_model import procedural_model
from tests.helpers.paths import GOLDEN

pytestmark = pytest.mark.slow


def run_chain(name, **options):
    case = cases.CHAINS[name]
    model, variables = procedural_model(case.params, case.seed, **options)
    chain = jax.jit(
        lambda variables, source, driving: model.apply(
            variables, source, driving, background=case.background
        )
    )
    return cases.flatten_outputs(chain(variables, *cases.chain_pictures(case)))


# More sizes and weights, as large as users' own.
LONG = ("vox_without_background", "mgif", "ted")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.long] * (n in LONG)) for n in cases.CHAINS]
)
def test_chain(name):
    golden = np.load(GOLDEN / f"chain_{name}.npz")
    noise = np.load(GOLDEN / "chain_noise.npz")
    outputs = run_chain(name)
    assert set(outputs) == {key for key in golden.files if not key.startswith("noise/")}
    for key, value in outputs.items():
        stage = cases.stage_of(key)
        # Two float32 computations may each be as far from the truth as rounding takes the official.
        bound = max(cases.BOUNDS[stage], 2 * noise[f"{name}/{stage}"])
        np.testing.assert_allclose(value, golden[key], rtol=0, atol=bound, err_msg=key)


# Means measured on the case below, on a CPU before and after its products in bfloat16: keypoints
# 1.5e-3 and 1.7e-3, flow 1.9e-3 and 1.6e-3, masks up to 1.4e-2 and 1.3e-2, prediction 6.6e-3 and
# 6.3e-3. The bounds are twice the first.
BFLOAT16_MEANS = {
    "kp_source": 3e-3,
    "kp_driving": 3e-3,
    "deformation": 4e-3,
    "occlusion_map": 3e-2,
    "deformed": 5e-3,
    "prediction": 1.4e-2,
}


@pytest.mark.long
def test_vox_chain_in_bfloat16_stays_close_on_average():
    """Largest differences seen: keypoints 8e-3, flow 2e-2, masks 0.13, prediction 0.28.

    The largest stand at edges, where a small shift of the flow is a large change of a pixel.
    """
    golden = np.load(GOLDEN / "chain_vox.npz")
    outputs = run_chain("vox", dtype=jnp.bfloat16)
    for key, value in outputs.items():
        bound = BFLOAT16_MEANS.get(cases.stage_of(key))
        if bound is not None:
            mean = np.abs(np.asarray(value, np.float32) - golden[key]).mean()
            assert 1e-5 < mean < bound, (key, mean)
