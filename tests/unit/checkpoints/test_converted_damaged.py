"""Checkpoints that are missing, damaged or of another model end in one line."""

import json
import os
import shutil
from unittest import mock

import jax
import numpy as np
import pytest

from tests.helpers.small import model_params
from tpsm_jax.checkpoints import converted as checkpoints
from tpsm_jax.checkpoints.converted import load_checkpoint, save_checkpoint
from tpsm_jax.errors import InputError

pytestmark = pytest.mark.slow  # Orbax


def assert_error(folder, words):
    with pytest.raises(InputError) as error:
        load_checkpoint(folder)
    assert words in str(error.value)
    assert str(folder) in str(error.value)


def test_missing_folder(tmp_path):
    assert_error(tmp_path / "nothing", "there is no checkpoint")


def test_a_folder_of_something_else(tmp_path):
    assert_error(tmp_path, "not a checkpoint")


def test_official_file_instead_of_a_folder(tmp_path):
    (tmp_path / "vox.pth.tar").write_bytes(b"PK\x03\x04")
    assert_error(tmp_path / "vox.pth.tar", "convert_torch_weights.py")


@pytest.mark.parametrize("part", ["config.json", "variables"])
def test_missing_part(folder, part):
    path = folder / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert_error(folder, "not a checkpoint")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", "\0", '{"model_params": ', "[" * 10**5])
def test_damaged_config(folder, text):
    (folder / "config.json").write_text(text)
    assert_error(folder, "damaged")


@pytest.mark.parametrize(
    "model_params",
    [{}, 3, None, {**model_params(), "common_params": {}}, {**model_params(bad_field=1)},
     {**model_params(num_tps="ten")}],
)  # fmt: skip
def test_config_that_describes_no_model(folder, model_params):
    (folder / "config.json").write_text(json.dumps({"model_params": model_params}))
    assert_error(folder, "describes no model")


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("dense_motion_params", "num_blocks", 10**6),
        ("kp_detector_params", "blocks", 2**31),
        ("common_params", "num_tps", 10**9),
        ("generator_params", "block_expansion", float("nan")),
    ],
)
def test_numbers_that_would_take_for_ever(folder, section, field, value):
    params = model_params()
    params[section] = {**params[section], field: value}
    (folder / "config.json").write_text(json.dumps({"model_params": params}))
    assert_error(folder, f"{section}.{field} is larger than that of any network")


def test_networks_that_were_found_right_are_not_described_again(folder, kept_folder, variables):
    load_checkpoint(folder)
    with mock.patch.object(checkpoints, "variable_shapes", side_effect=AssertionError):
        jax.tree.map(np.testing.assert_array_equal, load_checkpoint(folder)[2], variables)
    for _ in range(2):
        test_config_of_another_model(folder)
    assert len(os.listdir(kept_folder)) == 1


def test_a_family_that_does_not_exist(folder):
    (folder / "config.json").write_text(
        json.dumps({"model_params": {**model_params(), "family": "monkeynet"}})
    )
    assert_error(folder, "config.json: model_params.family is tpsm, not 'monkeynet'")


def test_config_of_another_model(folder):
    (folder / "config.json").write_text(json.dumps({"model_params": model_params(num_tps=3)}))
    assert_error(folder, "is not the one that config.json describes")


def without(variables, collection, network):
    return {
        name: {key: tree for key, tree in trees.items() if (name, key) != (collection, network)}
        for name, trees in variables.items()
    }


@pytest.mark.parametrize("network", ["kp_detector", "dense_motion_network", "inpainting_network"])
def test_a_required_network_is_absent(tmp_path, variables, config, network):
    for collection in ("params", "batch_stats"):
        variables = without(variables, collection, network)
    save_checkpoint(tmp_path / "checkpoint", variables, config)
    assert_error(tmp_path / "checkpoint", f"has no {network}")


@pytest.mark.parametrize("collection", ["params", "batch_stats"])
@pytest.mark.parametrize("network", ["kp_detector", "bg_predictor"])
def test_a_network_is_not_whole(tmp_path, variables, config, collection, network):
    save_checkpoint(tmp_path / "checkpoint", without(variables, collection, network), config)
    assert_error(tmp_path / "checkpoint", f"{network} in variables/ is not the one")


@pytest.mark.parametrize(
    ("collection", "words"),
    [
        ("params", "has no dense_motion_network"),
        ("batch_stats", "avd_network in variables/ is not"),
    ],
)
def test_a_whole_collection_is_absent(tmp_path, variables, config, collection, words):
    kept = {name: trees for name, trees in variables.items() if name != collection}
    save_checkpoint(tmp_path / "checkpoint", kept, config)
    assert_error(tmp_path / "checkpoint", words)


@pytest.mark.parametrize("tree", [[np.ones(2)], {"params": [np.ones(2)]}, {"params": np.ones(2)}])
def test_variables_of_something_else(tmp_path, config, tree):
    save_checkpoint(tmp_path / "checkpoint", tree, config)
    assert_error(tmp_path / "checkpoint", "holds no networks")


@pytest.mark.parametrize("pattern", ["_METADATA", "manifest.ocdbt", "d/*"])
@pytest.mark.parametrize("harm", ["cut", "lost", "flipped"])
def test_damaged_variables(folder, pattern, harm):
    for path in list((folder / "variables").glob(pattern)):
        content = bytearray(path.read_bytes())
        if harm == "lost":
            path.unlink()
        elif harm == "cut":
            path.write_bytes(content[: len(content) // 2])
        else:
            content[len(content) // 2] ^= 0x80  # no text any more, though names stand there twice
            path.write_bytes(content)
    assert_error(folder, "damaged")
