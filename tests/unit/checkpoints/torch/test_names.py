import jax
import numpy as np
import pytest

from tests.helpers.small import draw_variables, official_params
from tests.helpers.vgg19_weights import vgg19_checkpoint
from tpsm_jax.checkpoints.torch import (
    read_torch_file,
    torch_from_variables,
    torch_shapes,
    variables_from_torch,
    vgg19_from_torch,
    write_torch_file,
)
from tpsm_jax.checkpoints.torch.keys import torch_key
from tpsm_jax.errors import InputError
from tpsm_jax.models.vgg19 import VGG19


@pytest.fixture(scope="module")
def variables():
    return draw_variables(official_params())


@pytest.fixture
def checkpoint(variables):
    return torch_from_variables(variables, official_params())


@pytest.mark.parametrize(
    ("path", "key"),
    [
        (("down_blocks_0", "conv", "kernel"), "down_blocks.0.conv.weight"),
        (("layer1_0", "downsample_1", "scale"), "layer1.0.downsample.1.weight"),
        (("fg_encoder", "layer1_0", "bn1", "mean"), "fg_encoder.layer1.0.bn1.running_mean"),
        (("id_encoder_10", "bias"), "id_encoder.10.bias"),
        (("id_encoder_1", "var"), "id_encoder.1.running_var"),
        (("resblock_5", "norm2", "scale"), "resblock.5.norm2.weight"),
    ],
)
def test_keys(path, key):
    assert torch_key(path) == key


def test_official_names_and_shapes():
    # Counts and sizes of the official vox checkpoint.
    full = official_params(num_tps=10)
    full["generator_params"] |= {"block_expansion": 64, "max_features": 512}
    full["dense_motion_params"] |= {"block_expansion": 64, "max_features": 1024}
    full["avd_network_params"] = {"id_bottle_size": 128, "pose_bottle_size": 128}
    shapes = torch_shapes(full)
    assert {network: len(keys) for network, keys in shapes.items()} == {
        "kp_detector": 122,
        "bg_predictor": 122,
        "dense_motion_network": 59,
        "inpainting_network": 78,
        "avd_network": 69,
    }
    assert shapes["kp_detector"]["fg_encoder.fc.weight"] == (100, 512)
    assert shapes["kp_detector"]["fg_encoder.bn1.num_batches_tracked"] == ()
    assert shapes["bg_predictor"]["bg_encoder.conv1.weight"] == (64, 6, 7, 7)
    dense_motion = shapes["dense_motion_network"]
    assert dense_motion["down.weight"] == (3, 1, 13, 13)
    assert dense_motion["hourglass.decoder.up_blocks.1.conv.weight"] == (512, 2048, 3, 3)
    assert dense_motion["occlusion.3.weight"] == (1, 37, 7, 7)
    assert shapes["inpainting_network"]["resblock.5.conv2.weight"] == (256, 256, 3, 3)
    assert shapes["avd_network"]["decoder.9.weight"] == (100, 256)
    numbers = sum(int(np.prod(shape)) for state in shapes.values() for shape in state.values())
    assert 87.65e6 < numbers < 87.75e6


def test_convolutions_and_linear_layers_are_transposed(checkpoint, variables):
    kernel = variables["params"]["inpainting_network"]["first"]["conv"]["kernel"]
    weight = checkpoint["inpainting_network"]["first.conv.weight"]
    assert weight[5, 2, 0, 6] == kernel[0, 6, 2, 5]
    kernel = variables["params"]["kp_detector"]["fg_encoder"]["fc"]["kernel"]
    assert checkpoint["kp_detector"]["fg_encoder.fc.weight"][3, 100] == kernel[100, 3]


@pytest.mark.parametrize("without", [(), ("bg_predictor",), ("avd_network", "bg_predictor")])
def test_variables_survive_the_way_there_and_back(tmp_path, variables, without):
    kept = {
        collection: {name: tree for name, tree in trees.items() if name not in without}
        for collection, trees in variables.items()
    }
    write_torch_file(tmp_path / "a.pth", torch_from_variables(kept, official_params()))
    found, report = variables_from_torch(read_torch_file(tmp_path / "a.pth"), official_params())
    assert jax.tree.structure(found) == jax.tree.structure(kept)
    for before, after in zip(jax.tree.leaves(kept), jax.tree.leaves(found), strict=True):
        assert after.tobytes() == before.tobytes()
        assert after.dtype == np.float32
        assert after.flags.c_contiguous
    assert set(report.absent) == set(without)
    assert report.epoch is None


def test_training_state_is_accepted(checkpoint):
    training = dict.fromkeys(["optimizer", "optimizer_bg_predictor", "optimizer_avd"], {})
    _, report = variables_from_torch({**checkpoint, **training, "epoch": 3}, official_params())
    assert report.epoch == 3
    assert report.ignored == ()
    assert report.networks["kp_detector"][0] == 122


def test_data_parallel_prefix(checkpoint, variables):
    wrapped = {
        network: {f"module.{key}": value for key, value in state.items()}
        for network, state in checkpoint.items()
    }
    found, _ = variables_from_torch(wrapped, official_params())
    for before, after in zip(jax.tree.leaves(variables), jax.tree.leaves(found), strict=True):
        np.testing.assert_array_equal(after, before)


def test_half_precision(checkpoint, variables):
    halved = {
        network: {key: np.asarray(value, np.float16) for key, value in state.items()}
        for network, state in checkpoint.items()
    }
    found, _ = variables_from_torch(halved, official_params())
    for before, after in zip(jax.tree.leaves(variables), jax.tree.leaves(found), strict=True):
        np.testing.assert_array_equal(after, before.astype(np.float16).astype(np.float32))


def test_checkpoints_without_counters(checkpoint):
    # As PyTorch before 0.4.1 wrote them; PyTorch itself takes them too.
    for state in checkpoint.values():
        for key in [key for key in state if key.endswith("num_batches_tracked")]:
            del state[key]
    variables_from_torch(checkpoint, official_params())


def test_other_entries_are_reported(checkpoint):
    _, report = variables_from_torch({**checkpoint, "discriminator": {}}, official_params())
    assert report.ignored == ("discriminator",)


def test_names_of_other_entries_do_not_reach_the_terminal(checkpoint):
    _, report = variables_from_torch({**checkpoint, "\x1b[2J": {}}, official_params())
    assert report.ignored == ("\\x1b[2J",)


def test_an_epoch_too_large_to_print(checkpoint):
    _, report = variables_from_torch({**checkpoint, "epoch": 10**5000}, official_params())
    assert report.epoch is None


@pytest.mark.slow
def test_background_predictor_that_the_config_has_not(checkpoint):
    _, report = variables_from_torch(checkpoint, official_params(bg=False))
    assert report.ignored == ("bg_predictor",)
    assert report.absent == ()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_numbers_that_are_not_finite_are_named(checkpoint, value):
    weight = checkpoint["kp_detector"]["fg_encoder.conv1.weight"].astype(np.float64)
    weight[1, 1, 1, 1] = value
    checkpoint["kp_detector"]["fg_encoder.conv1.weight"] = weight
    _, report = variables_from_torch(checkpoint, official_params())
    assert report.not_finite == ("kp_detector.fg_encoder.conv1.weight",)


# What does not fit.


def message(checkpoint, **common):
    with pytest.raises(InputError) as error:
        variables_from_torch(checkpoint, official_params(**common))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("network", ["kp_detector", "dense_motion_network", "inpainting_network"])
def test_required_networks(checkpoint, network):
    del checkpoint[network]
    assert f"has no {network}" in message(checkpoint)


@pytest.mark.parametrize("given", [[], None, 3, {}, {"features.0.weight": np.ones(3)}, {"a": {}}])
def test_something_else(given):
    assert "has no dense_motion_network" in message(given)


def test_missing_tensor(checkpoint):
    del checkpoint["kp_detector"]["fg_encoder.bn1.running_mean"]
    expected = "1 tensor is missing (kp_detector.fg_encoder.bn1.running_mean)"
    assert expected in message(checkpoint)


def test_unexpected_tensors(checkpoint):
    for i in range(5):
        checkpoint["kp_detector"][f"extra.{i}"] = np.zeros(1)
    expected = "5 tensors are unexpected (kp_detector.extra.0, kp_detector.extra.1, "
    assert expected in message(checkpoint)


def test_other_shape(checkpoint):
    checkpoint["inpainting_network"]["first.conv.bias"] = np.zeros(9, np.float32)
    expected = "inpainting_network.first.conv.bias: [9] instead of [8]"
    assert expected in message(checkpoint)


@pytest.mark.parametrize("value", [3, None, "text", np.zeros(8, np.int64), np.zeros(8, bool)])
def test_no_floating_point_tensor(checkpoint, value):
    checkpoint["inpainting_network"]["first.conv.bias"] = value
    assert "inpainting_network.first.conv.bias: " in message(checkpoint)


def test_all_kinds_at_once(checkpoint):
    del checkpoint["avd_network"]["decoder.0.bias"]
    checkpoint["kp_detector"]["extra"] = np.zeros(1)
    checkpoint["inpainting_network"]["first.conv.bias"] = np.zeros(9, np.float32)
    said = message(checkpoint)
    assert "1 tensor is missing" in said
    assert "1 tensor is unexpected" in said
    assert "1 tensor is of another shape" in said


def test_another_anti_alias_kernel(checkpoint):
    checkpoint["dense_motion_network"]["down.weight"] = np.full((3, 1, 13, 13), 1 / 169)
    assert "down.weight is not the anti-alias kernel" in message(checkpoint)


@pytest.mark.parametrize(
    ("common", "hint"),
    [
        ({"num_tps": 3}, "num_tps is 2 in the checkpoint and 3 in the config"),
        ({"multi_mask": False}, "multi_mask is True in the checkpoint and False in the config"),
    ],
)
def test_hint_at_another_config(checkpoint, common, hint):
    assert hint in message(checkpoint, **common)


def test_hint_at_other_channels(checkpoint):
    checkpoint["inpainting_network"]["final.bias"] = np.zeros(1, np.float32)
    assert "num_channels is 1 in the checkpoint and 3 in the config" in message(checkpoint)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("section", "setting", "value", "hint"),
    [
        ("dense_motion_params", "scale_factor", 0.5, "scale_factor is 0.25 in the checkpoint"),
        ("dense_motion_params", "num_blocks", 4, "num_blocks of dense_motion_params is 5"),
        ("generator_params", "block_expansion", 16, "block_expansion of generator_params is 8"),
        ("avd_network_params", "id_bottle_size", 8, "id_bottle_size is 16 in the checkpoint"),
        ("avd_network_params", "pose_bottle_size", 8, "pose_bottle_size is 16 in the checkpoint"),
    ],
)
def test_hint_at_another_size(checkpoint, section, setting, value, hint):
    params = official_params()
    params[section] = {**params[section], setting: value}
    with pytest.raises(InputError, match=hint):
        variables_from_torch(checkpoint, params)


# VGG-19.


def test_vgg19():
    variables = vgg19_from_torch(vgg19_checkpoint())
    shapes = jax.eval_shape(VGG19().init, jax.random.key(0), np.zeros((1, 32, 32, 3), np.float32))
    assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, shapes)
    params = variables["params"]
    assert "features_30" not in params
    np.testing.assert_array_equal(params["features_28"]["bias"], np.full(512, 28))
    np.testing.assert_array_equal(params["features_5"]["kernel"][2, 0, 7], np.arange(128))


@pytest.mark.parametrize("given", [None, [], {}, {"kp_detector": {}}, {"features": 1}])
def test_no_vgg19(given):
    with pytest.raises(InputError, match="not torchvision's VGG-19"):
        vgg19_from_torch(given)


def test_another_vgg():
    state = vgg19_checkpoint()
    state["features.17.weight"] = state.pop("features.16.weight")
    with pytest.raises(InputError, match=r"missing \(vgg19.features.16.weight\); 1 tensor is unex"):
        vgg19_from_torch(state)


def test_shapes_are_those_of_what_is_written(checkpoint):
    shapes = torch_shapes(official_params())
    for network, state in checkpoint.items():
        assert {key: value.shape for key, value in state.items()} == shapes[network]
