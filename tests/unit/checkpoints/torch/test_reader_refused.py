"""Files that PyTorch did not write, damaged ones, and those that lie about their sizes."""

import copy
import struct
import zipfile

import numpy as np
import pytest

from tests.helpers.paths import TORCH_FILES
from tests.helpers.torch_files import flatten, pickle_of_tensor, write_legacy, write_zip
from tests.helpers.torch_pickles import FORMATS
from tpsm_jax.checkpoints.torch import read_torch_file
from tpsm_jax.errors import InputError


def assert_error(path, words):
    """The file is refused in one line that names it and says `words`."""
    with pytest.raises(InputError) as error:
        read_torch_file(path)
    message = str(error.value)
    assert words in message
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "a PNG picture"),
        (b"\n <!DOCTYPE html><html>Quota exceeded</html>", "a web page"),
        (b"404: Not Found\n", "it is text"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer"),
        (b"\x1f\x8b\x08" + bytes(100), "gzip"),
        (bytes(257) + b"ustar\x0000" + bytes(300), "tar archive"),
        (bytes(4096), "unknown format"),
        (b"\x80\x02K\x01.", "not one that torch.save wrote"),
        (b"\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00]\x94.", "not one that torch.save wrote"),
        (b"\x80", "cut short or corrupt"),
        (b"PK\x03\x04", "cut short or corrupt"),
    ],
)
def test_other_formats(tmp_path, content, words):
    path = tmp_path / "file.pth"
    path.write_bytes(content)
    assert_error(path, words)


def test_folder(tmp_path):
    assert_error(tmp_path, "is a folder")


@pytest.mark.parametrize("inner", ["", "archive"])
def test_unpacked(tmp_path, inner):
    folder = tmp_path / inner
    folder.mkdir(exist_ok=True)
    (folder / "data.pkl").write_bytes(pickle_of_tensor())
    assert_error(tmp_path, f"an unpacked one; pack that without compression, by `cd {tmp_path} &&")


def test_missing(tmp_path):
    assert_error(tmp_path / "nothing.pth", "does not exist")


def test_plain_zip(tmp_path):
    assert_error(write_zip(tmp_path / "a.zip", {"readme.txt": b"hello"}), "no data.pkl")


def test_torchscript(tmp_path):
    records = {"m/data.pkl": pickle_of_tensor(), "m/constants.pkl": b"\x80\x02)."}
    assert_error(write_zip(tmp_path / "m.pt", records), "TorchScript")


def test_whole_module_is_refused_by_name():
    path = TORCH_FILES / "whole_module_zip.pth"
    assert_error(path, "torch.nn.modules.linear.Linear")


@pytest.mark.parametrize("form", FORMATS)
def test_cut_short_anywhere(tmp_path, form):
    content = (TORCH_FILES / f"training_{form}.pth").read_bytes()
    path = tmp_path / "cut.pth"
    for length in [*range(1, len(content) - 64, 13), *range(len(content) - 64, len(content))]:
        path.write_bytes(content[:length])
        with pytest.raises(InputError):
            read_torch_file(path)


def flipped_files(original, path, step):
    """Writes to `path` one flipped bit at every so many bytes, and yields the byte's position."""
    content = original.read_bytes()
    for position in range(0, len(content), step):
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(flipped)
        yield position


@pytest.mark.slow
def test_flipped_bits_in_a_zip_never_change_a_tensor(tmp_path):
    original, path = TORCH_FILES / "training_zip.pth", tmp_path / "flipped.pth"
    expected = flatten(read_torch_file(original))
    refused = 0
    for position in flipped_files(original, path, 5):
        try:
            found = flatten(read_torch_file(path))
        except InputError:
            refused += 1
            continue
        assert found.keys() == expected.keys(), position
        for key, array in expected.items():
            np.testing.assert_array_equal(found[key], array, err_msg=f"byte {position}")
    assert refused > 100


@pytest.mark.slow
def test_flipped_bits_in_the_old_format_are_read_or_refused(tmp_path):
    # It has no checksums, so numbers may change, but nothing else may happen.
    path = tmp_path / "flipped.pth"
    refused = 0
    for _ in flipped_files(TORCH_FILES / "training_legacy.pth", path, 3):
        try:
            read_torch_file(path)
        except InputError:
            refused += 1
    assert refused > 100


def test_missing_record(tmp_path):
    assert_error(write_zip(tmp_path / "a.pth", {"a/data.pkl": pickle_of_tensor()}), "a/data/0")


def test_compressed_record(tmp_path):
    records = {"a/data.pkl": pickle_of_tensor(), "a/data/0": bytes(16)}
    path = write_zip(tmp_path / "a.pth", records, zipfile.ZIP_DEFLATED)
    assert "zip -0 -r" in assert_error(path, "compressed")


@pytest.mark.parametrize("order", [b"", b"middle"])
def test_unknown_byte_order(tmp_path, order):
    records = {"a/data.pkl": pickle_of_tensor(), "a/data/0": bytes(16), "a/byteorder": order}
    assert_error(write_zip(tmp_path / "a.pth", records), "byte order")


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        ({"numel": 10**12}, "4000000000000 are declared"),
        ({"numel": 2**61, "shape": (2**40,), "strides": (1,)}, "are declared"),
        ({"numel": 10**5000}, "unknown way"),
        ({"numel": -4}, "unknown way"),
        ({"offset": 1}, "beyond its storage"),
        ({"offset": -1}, "impossible"),
        ({"shape": (3, 2)}, "beyond its storage"),
        ({"shape": (2, -2)}, "impossible"),
        ({"strides": (3, 1)}, "beyond its storage"),
        ({"strides": (-2, 1)}, "impossible"),
        ({"strides": (2,)}, "do not match"),
        ({"shape": (2.0, 2.0)}, "impossible"),
        ({"shape": (2**61, 2**61), "strides": (0, 0)}, "impossible size"),
        ({"shape": (1,) * 40, "strides": (1,) * 40}, "do not match"),
        ({"metadata": ({"conj": True},)}, "no checkpoint needs"),
        ({"view": (("v", 2, 3),)}, "beyond its storage"),
        ({"view": (("v", -2, 3),)}, "beyond its storage"),
    ],
)
@pytest.mark.parametrize("form", FORMATS)
def test_lying_sizes(tmp_path, form, tensor, words):
    pickled = pickle_of_tensor(**tensor)
    path = tmp_path / "lying.pth"
    if form == "zip":
        write_zip(path, {"a/data.pkl": pickled, "a/data/0": bytes(16)})
    else:
        write_legacy(path, pickled, ["0"], [struct.pack("<q", 4) + bytes(16)])
    assert_error(path, words)


def test_an_expanded_tensor_costs_nothing(tmp_path):
    pickled = pickle_of_tensor(shape=(2**30, 2**20), strides=(0, 0))
    tensor = read_torch_file(
        write_zip(tmp_path / "a.pth", {"a/data.pkl": pickled, "a/data/0": bytes(16)})
    )
    assert tensor.shape == (2**30, 2**20)


@pytest.mark.parametrize("size", [-1, 3, 5, 2**40, 2**62])
def test_lying_legacy_storage(tmp_path, size):
    data = struct.pack("<q", size) + bytes(16)
    path = write_legacy(tmp_path / "a.pth", pickle_of_tensor(), ["0"], [data])
    assert_error(path, "")


@pytest.mark.parametrize("keys", [[], ["0", "1"], [0], ["1"]])
def test_wrong_legacy_keys(tmp_path, keys):
    data = [struct.pack("<q", 4) + bytes(16)] * len(keys)
    path = write_legacy(tmp_path / "a.pth", pickle_of_tensor(), keys, data)
    assert_error(path, "storage")


def test_records_that_lie_about_their_size(tmp_path):
    records = {"a/data.pkl": pickle_of_tensor(), "a/data/0": bytes(16)}
    content = bytearray(write_zip(tmp_path / "a.pth", records).read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 20 : entry + 28] = struct.pack("<II", 2**31, 2**31)
    path = tmp_path / "lying.pth"
    path.write_bytes(content)
    assert_error(path, "beyond the end")


def test_records_that_overlap(tmp_path):
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickle_of_tensor(numel=1250))
        archive.writestr("a/data/0", bytes(5000))
        for key in range(1, 100):
            info = copy.copy(archive.getinfo("a/data/0"))
            info.filename = f"a/data/{key}"
            archive.filelist.append(info)
    assert_error(path, "its records overlap")
