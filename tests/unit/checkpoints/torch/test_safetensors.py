"""Safetensors files, which the safetensors library reads without PyTorch."""

import json
import struct

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.helpers.converted_folders import write_tensors as write
from tests.helpers.small import draw_variables, official_params
from tests.helpers.vgg19_weights import vgg19_checkpoint
from tpsm_jax.checkpoints.torch import (
    read_torch_file,
    torch_from_variables,
    variables_from_torch,
    vgg19_from_torch,
)
from tpsm_jax.checkpoints.torch.records import Opaque
from tpsm_jax.errors import InputError


def assert_refused(path, words):
    with pytest.raises(InputError) as error:
        read_torch_file(path)
    assert words in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_checkpoint(tmp_path):
    variables = draw_variables(official_params())
    checkpoint = torch_from_variables(variables, official_params())
    tensors = {
        f"{network}.{key}": np.array(value, order="C")
        for network, state in checkpoint.items()
        for key, value in state.items()
    }
    save_file(tensors, tmp_path / "vox.safetensors", metadata={"epoch": "99"})
    found, report = variables_from_torch(
        read_torch_file(tmp_path / "vox.safetensors"), official_params()
    )
    assert jax.tree.structure(found) == jax.tree.structure(variables)
    jax.tree.map(np.testing.assert_array_equal, found, variables)
    assert report.ignored == ()


@pytest.mark.slow
def test_vgg19(tmp_path):
    state = {
        key: np.array(value, order="C")
        for key, value in vgg19_checkpoint().items()
        if key.startswith("features")
    }
    save_file(state, tmp_path / "vgg19.safetensors")
    found = vgg19_from_torch(read_torch_file(tmp_path / "vgg19.safetensors"))
    jax.tree.map(np.testing.assert_array_equal, found, vgg19_from_torch(vgg19_checkpoint()))


def test_types(tmp_path):
    tensors = {
        "float16": np.array([-2.5, 65504], np.float16),
        "float64": np.array([1 / 3], np.float64),
        "int64": np.array(2**62),
        "bool": np.array([True, False]),
    }
    save_file(tensors, tmp_path / "a.safetensors")
    found = read_torch_file(tmp_path / "a.safetensors")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor, strict=True)
        assert not found[name].flags.writeable


def test_bfloat16(tmp_path):
    values = np.array([-2.5, 3e38], ml_dtypes.bfloat16)
    header = {"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}
    found = read_torch_file(write(tmp_path / "a.safetensors", header, values.tobytes()))["a"]
    np.testing.assert_array_equal(found, values.astype(np.float32), strict=True)


def test_types_that_numpy_lacks(tmp_path):
    header = {"a": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}
    found = read_torch_file(write(tmp_path / "a.safetensors", header, bytes(2)))["a"]
    assert found.name == "tensor of type F8_E4M3"
    assert isinstance(found, Opaque)


def test_a_length_that_begins_as_a_pickle(tmp_path):
    header = json.dumps({"__metadata__": {"a": ""}}).encode()
    path = write(tmp_path / "a.safetensors", header.ljust(0x80))
    assert read_torch_file(path) == {}


@pytest.mark.parametrize(
    ("header", "data"),
    [
        (b"{", b""),
        (b'{"a\xff": 1}', b""),
        (b'{"a":' + b"[" * 100_000, b""),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(7)),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(8)),
        ({"a": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 4]}}, bytes(4)),
        ({"a": {"dtype": "F32", "shape": [0, 2**62], "data_offsets": [0, 0]}}, b""),
        (
            {name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for name in "ab"},
            bytes(4),
        ),
    ],
)
def test_damaged_files(tmp_path, header, data):
    assert_refused(write(tmp_path / "a.safetensors", header, data), "")


def test_a_header_longer_than_any_checkpoint_has(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", 2**32) + b"{" + bytes(100))
    assert_refused(path, "longer than that of any checkpoint")
