"""Tensors and values out of files that PyTorch wrote."""

import struct
import zipfile

import numpy as np
import pytest

from tests.helpers.paths import TORCH_FILES
from tests.helpers.torch_files import flatten, pickle_of_tensor, read_zip, write_legacy, write_zip
from tests.helpers.torch_pickles import FORMATS
from tpsm_jax.checkpoints.torch import read_torch_file


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["tensors", "training"])
def test_reads_what_torch_wrote(name, form):
    found = flatten(read_torch_file(TORCH_FILES / f"{name}_{form}.pth"))
    with np.load(TORCH_FILES / f"{name}.npz") as expected:
        assert found.keys() == set(expected.files)
        for key in expected.files:
            assert found[key].dtype == expected[key].dtype, key
            np.testing.assert_array_equal(found[key], expected[key], err_msg=key, strict=True)


@pytest.mark.parametrize("form", FORMATS)
def test_plain_values(form):
    assert read_torch_file(TORCH_FILES / f"tensors_{form}.pth")["plain"] == {
        "epoch": 99,
        "large": 2**40,
        "lr": 2e-4,
        "betas": (0.5, 0.999),
        "nothing": None,
        "flags": [True, False],
        "name": "zoë",
        "size": (3, 4),
    }


@pytest.mark.parametrize("form", FORMATS)
def test_optimizer_state(form):
    optimizer = read_torch_file(TORCH_FILES / f"training_{form}.pth")["optimizer"]
    assert optimizer["param_groups"][0]["betas"] == (0.5, 0.999)
    assert set(optimizer["state"]) == {0, 1, 2, 3}
    assert optimizer["state"][0]["exp_avg"].shape == (4, 3)


def test_dictionaries_are_plain():
    tree = read_torch_file(TORCH_FILES / "training_zip.pth")
    assert type(tree["kp_detector"]) is dict


def test_tensors_are_read_only():
    tensor = read_torch_file(TORCH_FILES / "tensors_zip.pth")["contiguous"]
    with pytest.raises(ValueError, match="read-only"):
        tensor[0] = 1


def test_shared_storages_stay_shared():
    shared = read_torch_file(TORCH_FILES / "tensors_zip.pth")["shared"]
    assert np.shares_memory(shared["whole"], shared["part"])


@pytest.mark.parametrize("top", ["", "any/deep folder/"])
def test_top_folder_of_any_name(tmp_path, top):
    records = read_zip(TORCH_FILES / "tensors_zip.pth")
    renamed = {top + name.partition("/")[2]: data for name, data in records.items()}
    tree = read_torch_file(write_zip(tmp_path / "renamed.pth", renamed))
    np.testing.assert_array_equal(tree["contiguous"].ravel(), np.arange(24))


def test_big_endian(tmp_path):
    records = {
        "a/data.pkl": pickle_of_tensor(),
        "a/byteorder": b"big",
        "a/data/0": np.arange(4, dtype=">f4").tobytes(),
    }
    tensor = read_torch_file(write_zip(tmp_path / "big.pth", records))
    assert tensor.dtype.isnative
    np.testing.assert_array_equal(tensor, [[0, 1], [2, 3]])


def test_without_byte_order(tmp_path):
    records = {"a/data.pkl": pickle_of_tensor(), "a/data/0": np.arange(4, dtype="<f4").tobytes()}
    tensor = read_torch_file(write_zip(tmp_path / "old.pth", records))
    np.testing.assert_array_equal(tensor, [[0, 1], [2, 3]])


def test_legacy_view_of_a_storage(tmp_path):
    pickled = pickle_of_tensor(numel=6, view=(("view", 2, 4),))
    data = struct.pack("<q", 6) + np.arange(6, dtype="<f4").tobytes()
    tensor = read_torch_file(write_legacy(tmp_path / "view.pth", pickled, ["0"], [data]))
    np.testing.assert_array_equal(tensor, [[2, 3], [4, 5]])


def test_python_2_dictionary(tmp_path):
    # Python 2 passed the items as an argument, and wrote text as bytes.
    pickled = b"\x80\x02ccollections\nOrderedDict\n(]](U\x05epochK\x07eatR."
    tree = read_torch_file(write_legacy(tmp_path / "python2.pth", pickled, [], []))
    assert tree == {"epoch": 7}


def test_packed_again_with_its_folders(tmp_path):
    # As zip does it, when one follows what is said of an unpacked checkpoint.
    with zipfile.ZipFile(tmp_path / "again.pth", "w") as archive:
        archive.mkdir("archive")
        archive.mkdir("archive/data")
        for name, data in read_zip(TORCH_FILES / "tensors_zip.pth").items():
            archive.writestr("archive/" + name.partition("/")[2], data)
    tree = read_torch_file(tmp_path / "again.pth")
    np.testing.assert_array_equal(tree["contiguous"].ravel(), np.arange(24))
