"""Pickles put into both formats of PyTorch's files, and how they are refused."""

import struct

import pytest

from tests.helpers.torch_files import write_legacy, write_zip
from tpsm_jax.checkpoints.torch import read_torch_file
from tpsm_jax.errors import InputError

FORMATS = ("zip", "legacy")

# Pieces of pickles.
STORAGE = (
    b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
)
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
ORDERED_DICT = b"ccollections\nOrderedDict\n"


def read(tmp_path, pickled, form):
    path = tmp_path / "hostile.pth"
    if form == "zip":
        write_zip(path, {"a/data.pkl": pickled, "a/data/0": bytes(16)})
    elif form == "legacy":
        used = b"storage" in pickled
        keys, storages = (["0"], [struct.pack("<q", 4) + bytes(16)]) if used else ([], [])
        write_legacy(path, pickled, keys, storages)
    else:
        path.write_bytes(pickled)
    return read_torch_file(path)


def assert_refused(tmp_path, pickled, words, forms=FORMATS):
    for form in forms:
        with pytest.raises(InputError) as error:
            read(tmp_path, pickled, form)
        assert words in str(error.value)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 300 + len(str(tmp_path))
