"""Trees of arrays in safetensors files: what goes in comes out."""

import os
import re

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from tests.helpers.converted_folders import write_tensors
from tpsm_jax.checkpoints.safetensors_io import load_tensors, save_tensors
from tpsm_jax.errors import InputError

ODD = np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, 5e-324, 1e-45, 3.4e38], np.float32)


def test_round_trip_to_the_bit(tmp_path):
    tree = {
        "params": {"a": {"kernel": ODD, "bias": np.float32(3).reshape(())}, "none": {}},
        "batch_stats": {},
        "others": {"int": np.arange(3), "bool": np.array([True]), "double": np.float64([1 / 3])},
        "strided": np.arange(12, dtype=np.float32).reshape(3, 4).T,
        "empty": np.zeros((0, 3), np.float32),
        "of jax": jnp.ones((2, 3)),
        "z\u00fc/".rstrip("/"): np.ones(1, np.float32),
    }
    save_tensors(tmp_path / "a.safetensors", tree)
    found = load_tensors(tmp_path / "a.safetensors")
    assert_same(found, tree)
    assert os.listdir(tmp_path) == ["a.safetensors"]


def assert_same(found, expected):
    assert type(found) is dict if isinstance(expected, dict) else isinstance(found, np.ndarray)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_same(found[key], expected[key])
    else:
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert found.tobytes() == np.asarray(expected).tobytes()


def test_a_tree_of_nothing(tmp_path):
    save_tensors(tmp_path / "a.safetensors", {})
    assert load_tensors(tmp_path / "a.safetensors") == {}


def test_names_and_metadata_as_other_programs_see_them(tmp_path):
    save_tensors(tmp_path / "a.safetensors", {"params": {"a": {"bias": ODD}}, "batch_stats": {}})
    assert load_file(tmp_path / "a.safetensors").keys() == {"params/a/bias", "batch_stats/"}
    with safe_open(tmp_path / "a.safetensors", framework="numpy") as file:
        metadata = file.metadata()
    assert metadata.keys() == {"tpsm_jax"}
    assert re.fullmatch("1 [0-9a-f]{8}", metadata["tpsm_jax"])


def test_equal_trees_are_equal_files(tmp_path):
    leaves = {f"{number}": np.full(number, number, np.float32) for number in range(40)}
    for name in "abc":
        save_tensors(
            tmp_path / name, {"x": dict(list(leaves.items())[:: 1 if name == "a" else -1])}
        )
    assert len({(tmp_path / name).read_bytes() for name in "abc"}) == 1


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_stored_rounded_and_read_as_float32(tmp_path, dtype):
    values = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    rounded = values.astype(jnp.dtype(dtype))
    integers = np.arange(3)
    save_tensors(tmp_path / "a", {"values": values, "integers": integers}, dtype)
    save_tensors(tmp_path / "b", {"values": rounded, "integers": integers})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    found = load_tensors(tmp_path / "a")
    np.testing.assert_array_equal(found["values"], rounded.astype(np.float32), strict=True)
    np.testing.assert_array_equal(found["integers"], integers, strict=True)


def test_what_is_not_finite_stays_so(tmp_path):
    save_tensors(tmp_path / "a", {"a": ODD[:5]}, "float16")
    np.testing.assert_array_equal(load_tensors(tmp_path / "a")["a"], ODD[:5])
    with pytest.raises(InputError, match="a holds numbers that are too large for float16"):
        save_tensors(tmp_path / "b", {"a": ODD}, "float16")
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize(
    "tree",
    [
        np.ones(2), [np.ones(2)], {"a": None}, {"a": [np.ones(2)]}, {"a": 1.0}, {"a/b": np.ones(2)},
        {"": np.ones(2)}, {3: np.ones(2)},
    ],
)  # fmt: skip
def test_what_has_no_place(tmp_path, tree):
    with pytest.raises(TypeError, match="has no place in a safetensors file"):
        save_tensors(tmp_path / "a", tree)
    assert os.listdir(tmp_path) == []


def tensors(**shapes):
    """A header of float32 tensors, and their data."""
    header, size = {}, 0
    for name, shape in shapes.items():
        end = size + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [size, end]}
        size = end
    return header, bytes(size)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"tpsm_jax": "1"}, "do not match its checksum"),
        ({"tpsm_jax": "1 01234567"}, "do not match its checksum"),
        ({"tpsm_jax": "\x1b[2J"}, r"has version \x1b[2J of the format"),
        ({"tpsm_jax": ""}, "has version  of the format"),
        ({"tpsm_jax": 3}, "cut short or corrupt"),
    ],
)
def test_wrong_metadata(tmp_path, metadata, words):
    header, data = tensors(a=[2])
    path = write_tensors(tmp_path / "a", {"__metadata__": metadata, **header}, data)
    with pytest.raises(InputError) as error:
        load_tensors(path)
    assert words in str(error.value)
    assert str(error.value).startswith(f"{path} ")


def test_names_of_other_programs(tmp_path):
    header, data = tensors(**{"": [1], "a//b": [2], "\x1b[2J": [1], "b/": [1]})
    found = load_tensors(write_tensors(tmp_path / "a", header, data))
    assert found.keys() == {"a", "b", "\x1b[2J"}
    assert found["b"] == {}
    assert found["a"][""]["b"].shape == (2,)


def test_bfloat16_of_other_programs(tmp_path):
    values = np.array([-2.5, 3e38], ml_dtypes.bfloat16)
    header = {"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}
    found = load_tensors(write_tensors(tmp_path / "a", header, values.tobytes()))["a"]
    np.testing.assert_array_equal(found, values.astype(np.float32), strict=True)
