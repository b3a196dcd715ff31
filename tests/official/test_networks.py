"""Every network alone against the official one, with the same procedural weights."""

import jax
import numpy as np
import pytest

from tests.helpers import golden_cases as cases
from tests.helpers.golden_model import procedural_model
from tests.helpers.paths import GOLDEN
from tests.helpers.procedural import procedural_tensor
from tpsm_jax.checkpoints.torch import vgg19_from_torch
from tpsm_jax.models.vgg19 import VGG19

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN / "networks.npz")


@pytest.fixture(scope="module")
def models():
    return {
        multi_mask: procedural_model(cases.model_params(small=True, multi_mask=multi_mask))
        for multi_mask in (True, False)
    }


def run(model_and_variables, method, *args):
    model, variables = model_and_variables
    return jax.jit(lambda variables, *args: model.apply(variables, *args, method=method))(
        variables, *args
    )


def assert_close(actual, golden, name, bound):
    np.testing.assert_allclose(
        cases.subsample(np.asarray(actual)),
        cases.subsample(golden[name]),
        rtol=0,
        atol=bound,
        err_msg=name,
    )


def assert_outputs_close(outputs, golden, prefix):
    kept = cases.flatten_outputs({f"{prefix}/{key}": value for key, value in outputs.items()})
    names = {name for name in golden.files if name.startswith(f"{prefix}/")}
    assert set(kept) == names
    for name, value in kept.items():
        assert_close(value, golden, name, cases.BOUNDS[cases.stage_of(name)])


def test_keypoint_detector(models, golden):
    image = cases.pictures("source", 2, 128, 192)
    keypoints = run(models[True], lambda model, image: model.kp_detector(image), image)
    assert_close(keypoints, golden, "kp_detector", cases.KEYPOINTS)


def test_background_predictor(models, golden):
    pair = (cases.pictures("source", 2, 128, 192), cases.pictures("driving", 2, 128, 192))
    matrix = run(models[True], lambda model, *pair: model.bg_predictor(*pair), *pair)
    assert_close(matrix, golden, "bg_predictor", cases.KEYPOINTS)


def test_avd_network(models, golden):
    pair = (cases.spread_keypoints("source", 3, 10), cases.spread_keypoints("driving", 3, 10))
    keypoints = run(models[True], lambda model, *pair: model.avd_network(*pair, train=False), *pair)
    assert_close(keypoints, golden, "avd_network", cases.KEYPOINTS)


@pytest.mark.parametrize("name", cases.DENSE_MOTIONS)
def test_dense_motion(models, golden, name):
    case = cases.DENSE_MOTIONS[name]
    inputs = cases.dense_motion_inputs(case)
    outputs = run(
        models[case.multi_mask],
        lambda model, inputs: model.dense_motion_network(**inputs),
        inputs,
    )
    assert_outputs_close(outputs, golden, f"dense_motion/{name}")


@pytest.mark.parametrize("multi_mask", [True, False])
def test_inpainting(models, golden, multi_mask):
    outputs = run(
        models[multi_mask],
        lambda model, *inputs: model.inpainting_network(*inputs),
        *cases.inpainting_inputs(multi_mask),
    )
    assert_outputs_close(outputs, golden, f"inpainting/{'plain' if multi_mask else 'single_mask'}")


def test_encoded_driving_picture(models, golden):
    picture, motion = cases.inpainting_inputs(True)
    maps = run(
        models[True],
        lambda model, *inputs: model.inpainting_network.encode_driving(*inputs),
        picture,
        motion["occlusion_map"],
    )
    assert len(maps) == 4
    for i, features in enumerate(maps):
        assert_close(features, golden, f"inpainting/encode_driving_{i}", cases.PREDICTION)


def test_vgg19_features(golden):
    widths = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256)}
    widths |= {12: (256, 256), 14: (256, 256), 16: (256, 256), 19: (256, 512)}
    widths |= dict.fromkeys((21, 23, 25, 28), (512, 512))
    state = {}
    for index, (before, after) in widths.items():
        for kind, shape in (("weight", (after, before, 3, 3)), ("bias", (after,))):
            key = f"features.{index}.{kind}"
            state[key] = procedural_tensor(f"vgg19.{key}", shape)
    features = jax.jit(VGG19().apply)(vgg19_from_torch(state), cases.pictures("source", 1, 64, 96))
    assert len(features) == 5
    for i, feature in enumerate(features):
        assert_close(feature, golden, f"vgg19_{i}", cases.PREDICTION)
