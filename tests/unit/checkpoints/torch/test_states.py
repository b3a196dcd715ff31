"""Networks found in a checkpoint, whatever is around them."""

import jax
import numpy as np
import pytest

from tests.helpers.small import draw_variables, official_params
from tests.helpers.vgg19_weights import vgg19_checkpoint
from tpsm_jax.checkpoints.torch import (
    ignored_beside_vgg19,
    torch_from_variables,
    variables_from_torch,
    vgg19_from_torch,
)
from tpsm_jax.checkpoints.torch.records import Opaque
from tpsm_jax.errors import InputError


@pytest.fixture(scope="module")
def variables():
    return draw_variables(official_params())


@pytest.fixture(scope="module")
def checkpoint(variables):
    return torch_from_variables(variables, official_params())


def prefixed(state, prefix):
    return {prefix + key: value for key, value in state.items()}


def flat(checkpoint, prefix=""):
    return {
        f"{prefix}{network}.{key}": value
        for network, state in checkpoint.items()
        for key, value in state.items()
    }


def assert_same(found, variables):
    before, after = jax.tree.leaves(variables), jax.tree.leaves(found)
    assert jax.tree.structure(found) == jax.tree.structure(variables)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "prefix",
    ["_orig_mod.", "module.", "module._orig_mod.", "_orig_mod.module.", "module.module."],
)
def test_prefixes_of_wrapped_networks(checkpoint, variables, prefix):
    wrapped = {network: prefixed(state, prefix) for network, state in checkpoint.items()}
    found, report = variables_from_torch(wrapped, official_params())
    assert_same(found, variables)
    assert report.ignored == ()


def test_wrapped_parts_of_networks(checkpoint, variables):
    wrapped = {
        network: {key.replace(".", "._orig_mod.", 1): value for key, value in state.items()}
        for network, state in checkpoint.items()
    }
    assert_same(variables_from_torch(wrapped, official_params())[0], variables)


@pytest.mark.parametrize("name", ["state_dict", "model", "any name", "module", 0])
def test_a_dictionary_around_the_networks(checkpoint, variables, name):
    tree = {"epoch": 7, "optimizer": {}, name: checkpoint, "args": Opaque("argparse.Namespace")}
    found, report = variables_from_torch(tree, official_params())
    assert_same(found, variables)
    assert report.place == str(name)
    assert report.epoch == 7
    assert report.ignored == ("args (argparse.Namespace)",)


def test_an_epoch_beside_networks_that_lie_deeper(checkpoint):
    tree = {"a": {"model": {**checkpoint, "epoch": 3, "scheduler": {}}, "b": 1}}
    _, report = variables_from_torch(tree, official_params())
    assert report.epoch == 3
    assert report.place == "a.model"
    assert report.ignored == ("a.b", "a.model.scheduler")


def test_a_dictionary_around_each_state_dict(checkpoint, variables):
    tree = {
        network: {"state_dict": prefixed(state, "module."), "step": 3}
        for network, state in checkpoint.items()
    }
    found, report = variables_from_torch(tree, official_params())
    assert_same(found, variables)
    assert "kp_detector.step" in report.ignored


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.module.", "a.module.b."])
def test_one_state_dict_of_all_networks(checkpoint, variables, prefix):
    tree = {**flat(checkpoint, prefix), "loss.vgg.weight": np.zeros(3), "loss.bias": np.zeros(3)}
    found, report = variables_from_torch(tree, official_params())
    assert_same(found, variables)
    assert report.ignored == ("loss",)
    found, report = variables_from_torch({"epoch": 2, "state_dict": tree}, official_params())
    assert_same(found, variables)
    assert report.ignored == ("state_dict.loss",)
    assert report.epoch == 2


def test_objects_are_listed_with_what_holds_them(checkpoint):
    beside = {
        "scheduler": {"milestones": Opaque("collections.Counter"), "best": [Opaque("numpy.x")]},
        "optimizer": {"lr": Opaque("numpy.x")},
        "epoch": Opaque("numpy.x"),
    }
    _, report = variables_from_torch({**checkpoint, **beside}, official_params())
    assert report.ignored == (
        "scheduler (collections.Counter, numpy.x)",
        "optimizer (numpy.x)",
        "epoch (numpy.x)",
    )
    assert report.epoch is None


def test_a_tree_that_is_shared_again_and_again(checkpoint):
    tree = [Opaque("a.b")]
    for _ in range(50):
        tree = [tree, tree]
    _, report = variables_from_torch({**checkpoint, "other": tree}, official_params())
    assert report.ignored == ("other (a.b)",)


# What is refused.


def message(checkpoint):
    with pytest.raises(InputError) as error:
        variables_from_torch(checkpoint, official_params())
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("network", ["kp_detector", "bg_predictor"])
def test_a_network_saved_whole(checkpoint, network):
    said = message({**checkpoint, network: Opaque("modules.Detector")})
    assert f"{network} is a modules.Detector, which is not read" in said
    assert f"{network}.state_dict()" in said


def test_all_networks_saved_whole():
    said = message({"epoch": 1, "model": Opaque("train.Model")})
    assert "model is a train.Model, which is not read" in said
    assert "model.state_dict()" in said


def test_a_tensor_of_another_kind(checkpoint):
    state = {**checkpoint["kp_detector"], "fg_encoder.fc.bias": Opaque("torch._utils.quantized")}
    said = message({**checkpoint, "kp_detector": state})
    assert "kp_detector.fg_encoder.fc.bias: torch._utils.quantized" in said


def test_networks_in_several_entries(checkpoint):
    other = {network: dict(state) for network, state in checkpoint.items()}
    said = message({"model": checkpoint, "model_ema": other})
    assert "in several of its entries (model, model_ema)" in said
    assert "torch.save(torch.load(FILE)['model'], OTHER_FILE)" in said


def test_the_same_dictionary_under_two_names(checkpoint, variables):
    found, _ = variables_from_torch({"last": checkpoint, "best": checkpoint}, official_params())
    assert_same(found, variables)


def test_several_prefixes(checkpoint):
    said = message({**flat(checkpoint, "model."), **flat(checkpoint, "ema.")})
    assert "after several prefixes in its keys (ema, model)" in said


def test_keys_with_and_without_a_prefix(checkpoint):
    state = checkpoint["kp_detector"]
    said = message({**checkpoint, "kp_detector": {**state, **prefixed(state, "module.")}})
    assert "kp_detector holds entries twice" in said


# VGG-19.


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module."])
@pytest.mark.parametrize("around", [False, True])
def test_vgg19(prefix, around):
    expected = vgg19_from_torch(vgg19_checkpoint())
    state = prefixed(vgg19_checkpoint(), prefix)
    # As the ImageNet example of PyTorch saves it.
    tree = {"arch": "vgg19", "state_dict": state, "best": Opaque("numpy.x")} if around else state
    jax.tree.map(np.testing.assert_array_equal, vgg19_from_torch(tree), expected)
    assert ignored_beside_vgg19(tree) == (("arch", "best (numpy.x)") if around else ())


def test_vgg19_in_parallel_features():
    state = {
        key.replace("features.", "features.module."): value
        for key, value in vgg19_checkpoint().items()
    }
    jax.tree.map(
        np.testing.assert_array_equal,
        vgg19_from_torch(state),
        vgg19_from_torch(vgg19_checkpoint()),
    )


def test_vgg19_layers_of_impossible_numbers():
    state = {**vgg19_checkpoint(), f"features.{'9' * 5000}.weight": np.zeros(1)}
    vgg19_from_torch(state)


def test_vgg19_saved_whole():
    with pytest.raises(InputError, match=r"model is a torchvision.VGG, which is not read"):
        vgg19_from_torch({"model": Opaque("torchvision.VGG")})
