"""Procedural weights and pictures must never change: tests/golden was made from them."""

import hashlib

import numpy as np
import pytest

from tests.helpers.procedural import procedural_picture, procedural_tensor
from tpsm_jax.ops.resample import antialias_kernel

DIGESTS = {
    ("kp_detector.fg_encoder.conv1.weight", (64, 3, 7, 7)): "2b0e0693d31f80e4",
    ("kp_detector.fg_encoder.fc.bias", (100,)): "e23fd7ebe8e36e46",
    ("avd_network.decoder.9.bias", (100,)): "1f3a2972ae91ba51",
    ("bg_predictor.bg_encoder.bn1.running_var", (64,)): "0882ddf2b9988b7c",
}


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


@pytest.mark.parametrize(("name", "shape"), DIGESTS)
def test_tensors_are_the_same_for_ever(name, shape):
    assert digest(procedural_tensor(name, shape)) == DIGESTS[name, shape]


def test_pictures_are_the_same_for_ever():
    assert digest(procedural_picture("source", 48, 64, 0.3)) == "353fc44462794a0c"


def test_name_and_seed_make_the_tensor():
    first = procedural_tensor("avd_network.decoder.0.weight", (8, 8), 0)
    assert np.abs(first - procedural_tensor("avd_network.decoder.3.weight", (8, 8), 0)).max() > 0.1
    assert np.abs(first - procedural_tensor("avd_network.decoder.0.weight", (8, 8), 1)).max() > 0.1


def test_filters_sum_to_zero():
    weight = procedural_tensor("dense_motion_network.maps.weight", (11, 148, 7, 7))
    np.testing.assert_allclose(weight.sum(axis=(1, 2, 3), dtype=np.float64), 0, atol=1e-6)


def test_antialias_weight_is_the_librarys_constant():
    weight = procedural_tensor("dense_motion_network.down.weight", (3, 1, 13, 13))
    for channel in weight[:, 0]:
        np.testing.assert_allclose(channel, antialias_kernel(0.25), rtol=0, atol=1e-8)
