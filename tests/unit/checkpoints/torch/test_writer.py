import zipfile
from collections import OrderedDict

import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers.paths import TORCH_FILES
from tests.helpers.torch_files import flatten
from tpsm_jax.checkpoints.torch import read_torch_file, write_torch_file
from tpsm_jax.errors import InputError


@pytest.mark.parametrize("name", ["tensors_zip", "training_zip"])
def test_what_is_written_is_read_bit_for_bit(tmp_path, name):
    tree = read_torch_file(TORCH_FILES / f"{name}.pth")
    write_torch_file(tmp_path / "copy.pth", tree)
    copy = read_torch_file(tmp_path / "copy.pth")
    before, after = flatten(tree), flatten(copy)
    assert before.keys() == after.keys()
    for key, array in before.items():
        assert after[key].tobytes() == array.tobytes(), key
        assert after[key].dtype == array.dtype, key
        assert after[key].shape == array.shape, key
    assert copy.get("plain") == tree.get("plain")


@pytest.mark.parametrize("value", [0, -1, 2**31 - 1, 2**31, -(2**31) - 1, 2**63, -(2**200)])
def test_integers(tmp_path, value):
    write_torch_file(tmp_path / "a.pth", value)
    assert read_torch_file(tmp_path / "a.pth") == value


def test_arrays_of_jax_and_numpy(tmp_path):
    tree = OrderedDict(
        jax=jnp.arange(3.0),
        half=jnp.ones(2, jnp.bfloat16),
        big=np.arange(3, dtype=">f4"),
        strided=np.arange(10)[::-2],
        scalar=np.float32(0.5),
        nan=np.array([np.nan, np.inf, -0.0], np.float32),
    )
    write_torch_file(tmp_path / "a.pth", tree)
    found = read_torch_file(tmp_path / "a.pth")
    np.testing.assert_array_equal(found["jax"], [0, 1, 2])
    np.testing.assert_array_equal(found["half"], [1, 1])
    np.testing.assert_array_equal(found["big"], [0, 1, 2])
    np.testing.assert_array_equal(found["strided"], [9, 7, 5, 3, 1])
    assert found["scalar"] == 0.5
    assert found["nan"].tobytes() == tree["nan"].tobytes()


def test_storages_are_aligned(tmp_path):
    # torch.load(mmap=True) uses the numbers where they lie.
    path = tmp_path / "a.pth"
    write_torch_file(path, [np.arange(i, dtype=np.float64) for i in range(1, 20)])
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            header = content[info.header_offset : info.header_offset + 30]
            names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:], "little")
            assert (info.header_offset + 30 + names) % 64 == 0, info.filename


def test_the_same_content_makes_the_same_file(tmp_path):
    for name in ("a.pth", "b.pth"):
        write_torch_file(tmp_path / name, {"x": np.ones(3, np.float32)})
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pth").read_bytes()


@pytest.mark.parametrize("value", [object(), {1, 2}, np.array(["text"]), np.ones(2, np.complex64)])
def test_what_has_no_counterpart_leaves_the_file_as_it_was(tmp_path, value):
    path = tmp_path / "a.pth"
    path.write_bytes(b"before")
    with pytest.raises(TypeError):
        write_torch_file(path, {"x": value})
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_makes_folders(tmp_path):
    write_torch_file(tmp_path / "new" / "folder" / "a.pth", 1)
    assert read_torch_file(tmp_path / "new" / "folder" / "a.pth") == 1


def test_unwritable(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "a.pth"):
        with pytest.raises(InputError, match=str(path)):
            write_torch_file(path, 1)
