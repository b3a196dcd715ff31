"""Checkpoints that are missing, damaged or of another model end in one line."""

import json
import os
import shutil
from unittest import mock

import jax
import numpy as np
import pytest

from tests.helpers.converted_folders import rewrite, write_older, write_tensors
from tests.helpers.small import model_params
from tpsm_jax.checkpoints import converted as checkpoints
from tpsm_jax.checkpoints import safetensors_io
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


@pytest.fixture
def older(tmp_path, variables):
    """The same checkpoint as older versions wrote it."""
    return write_older(tmp_path / "older", variables, {"model_params": model_params()})


@pytest.mark.parametrize("part", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("instead", ["nothing", "a folder", "a link to nothing"])
def test_missing_part(folder, part, instead):
    path = folder / part
    path.unlink()
    if instead == "a folder":
        path.mkdir()
    elif instead != "nothing":
        path.symlink_to("nothing")
    assert_error(folder, "not a checkpoint")


@pytest.mark.parametrize("part", ["config.json", "variables"])
def test_missing_part_of_an_older_one(older, part):
    path = older / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert_error(older, "not a checkpoint")


def test_a_link_to_a_file_is_read_through(folder, variables):
    (folder / "model.safetensors").rename(folder.parent / "blob")
    (folder / "model.safetensors").symlink_to("../blob")
    jax.tree.map(np.testing.assert_array_equal, load_checkpoint(folder)[2], variables)


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
    assert_error(tmp_path / "checkpoint", f"{network} in model.safetensors is not the one")


@pytest.mark.parametrize(
    ("collection", "words"),
    [
        ("params", "has no dense_motion_network"),
        ("batch_stats", "avd_network in model.safetensors is not"),
    ],
)
def test_a_whole_collection_is_absent(tmp_path, variables, config, collection, words):
    kept = {name: trees for name, trees in variables.items() if name != collection}
    save_checkpoint(tmp_path / "checkpoint", kept, config)
    assert_error(tmp_path / "checkpoint", words)


def test_a_network_of_an_older_one_is_not_whole(tmp_path, variables):
    kept = without(variables, "params", "bg_predictor")
    folder = write_older(tmp_path / "older", kept, {"model_params": model_params()})
    assert_error(folder, "bg_predictor in variables/ is not the one")


@pytest.mark.parametrize("tree", [[np.ones(2)], {"params": [np.ones(2)]}, {"params": np.ones(2)}])
def test_variables_of_something_else(tmp_path, config, tree):
    folder = write_older(tmp_path / "older", tree, {"model_params": model_params()})
    assert_error(folder, "holds no networks")
    if isinstance(tree, dict) and isinstance(tree["params"], np.ndarray):
        save_checkpoint(tmp_path / "checkpoint", tree, config)
        assert_error(tmp_path / "checkpoint", "holds no networks")
    else:
        with pytest.raises(TypeError, match="a list has no place in a safetensors file"):
            save_checkpoint(tmp_path / "checkpoint", tree, config)
        assert not (tmp_path / "checkpoint").exists()


@pytest.mark.parametrize("pattern", ["_METADATA", "manifest.ocdbt", "d/*"])
@pytest.mark.parametrize("harm", ["cut", "lost", "flipped"])
def test_damaged_variables_of_an_older_one(older, pattern, harm):
    for path in list((older / "variables").glob(pattern)):
        content = bytearray(path.read_bytes())
        if harm == "lost":
            path.unlink()
        elif harm == "cut":
            path.write_bytes(content[: len(content) // 2])
        else:
            content[len(content) // 2] ^= 0x80  # no text any more, though names stand there twice
            path.write_bytes(content)
    assert_error(older, "damaged")


def harmed(content, harm):
    header = 8 + int.from_bytes(content[:8], "little")
    flipped = bytearray(content)
    flipped[header + (len(content) - header) // 2] ^= 0x80
    return {
        "empty": b"",
        "cut in the length": content[:5],
        "cut in the header": content[: header // 2],
        "cut behind the header": content[:header],
        "cut in the data": content[: (header + len(content)) // 2],
        "one byte short": content[:-1],
        "one byte more": content + b"\0",
        "flipped": bytes(flipped),
        "zeros": bytes(len(content)),
        "noise": np.random.default_rng(0).bytes(2000),
        "a picture": b"\x89PNG\r\n\x1a\n" + bytes(64),
        "a page": b"<html>Sign in</html>",
        "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "a PyTorch file": b"PK\x03\x04" + bytes(200),
    }[harm]


HARMS = [
    "empty", "cut in the length", "cut in the header", "cut behind the header", "cut in the data",
    "one byte short", "one byte more", "flipped", "zeros", "noise", "a picture", "a page",
    "a Git LFS pointer", "a PyTorch file",
]  # fmt: skip


@pytest.mark.parametrize("harm", HARMS)
def test_damaged_weights(folder, harm):
    path = folder / "model.safetensors"
    path.write_bytes(harmed(path.read_bytes(), harm))
    with pytest.raises(InputError) as error:
        load_checkpoint(folder)
    assert str(error.value).startswith(f"{path} is damaged: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda arrays: {"a": np.ones(2)}, "holds no networks"),
        (lambda arrays: {"a/b": np.ones(2)}, "has no dense_motion_network and no inp"),
        (lambda arrays: {name.replace("/", "."): x for name, x in arrays.items()}, "no networks"),
        (lambda arrays: {**arrays, "params/new/bias": np.ones(2)}, "new in model.safetensors is"),
        (lambda arrays: {**arrays, "params/kp_detector": np.ones(2)}, "lies within another"),
        (lambda arrays: {**arrays, "params/" * 60 + "a": np.ones(2)}, "lies too deep"),
        (lambda arrays: {x: arrays[x] for x in arrays if not x.endswith("fg_encoder/fc/bias")},
         "kp_detector in model.safetensors is not the one"),
        (lambda arrays: {name: x[None] for name, x in arrays.items()}, "is not the one that"),
        (lambda arrays: {name: np.int32(x) for name, x in arrays.items()}, "is not the one that"),
    ],
)  # fmt: skip
def test_weights_of_something_else(folder, change, words):
    rewrite(folder / "model.safetensors", change)
    assert_error(folder, words)


def test_weights_of_a_type_that_numpy_lacks(folder):
    header = {"params/a": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}
    write_tensors(folder / "model.safetensors", header, bytes(2))
    assert_error(folder, "model.safetensors is damaged: its tensor params/a is of type F8_E4M3")


def test_a_newer_version_of_the_format(folder):
    header = {"__metadata__": {"tpsm_jax": "2 01234567"}}
    write_tensors(folder / "model.safetensors", header)
    assert_error(folder, "model.safetensors has version 2 of the format, and 1 is read here")


def test_weights_that_another_program_wrote_need_no_checksum(folder, variables):
    rewrite(folder / "model.safetensors", lambda arrays: None)
    jax.tree.map(np.testing.assert_array_equal, load_checkpoint(folder)[2], variables)


def test_weights_that_may_not_be_read(folder, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(safetensors_io, "open_tensors", refuse)
    assert_error(folder, "model.safetensors cannot be read: Permission denied")
