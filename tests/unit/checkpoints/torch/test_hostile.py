"""Pickles that try to run something. None of them may, and each is refused in one line."""

import itertools
import os
import pickle
import struct

import pytest

from tests.helpers.torch_files import pickle_of_tensor
from tests.helpers.torch_pickles import ORDERED_DICT, REBUILD, STORAGE, assert_refused, read


class Call:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("protocol", "form"),
    [
        *itertools.product(range(6), ["zip", "legacy"]),
        # Protocols 0 and 1 have no header: such a file is taken for text.
        *itertools.product(range(2, 6), ["first pickle of the file"]),
    ],
)
def test_os_system(tmp_path, protocol, form):
    ran = tmp_path / "ran"
    pickled = pickle.dumps(Call(os.system, f"touch {ran}"), protocol)
    assert_refused(tmp_path, pickled, f"{os.name}.system", [form])
    assert not ran.exists()


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (eval, "eval"),
        (exec, "exec"),
        (getattr, "getattr"),
        (__import__, "__import__"),
        (open, "open"),
        (os.unlink, "unlink"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_dangerous_functions(tmp_path, function, name, protocol):
    assert_refused(tmp_path, pickle.dumps(Call(function, "1"), protocol), name)


@pytest.mark.parametrize(
    "name",
    [
        b"torch\nload",
        b"torch\nhub.load",
        b"torch.storage\n_load_from_bytes",
        b"torch._utils\n_rebuild_tensor_v2.__globals__",
        b"torch.FloatStorage\n__class__",
        b"torch\nFloatStorage.__class__.__base__",
        b"collections\nOrderedDict.fromkeys",
        b"collections\nnamedtuple",
        b"numpy\nload",
        b"tpsm_jax.checkpoints.torch.unpickling\n_Function",
        b"tpsm_jax.cli\nrun_script",
        b"\n",
    ],
)
def test_names_near_the_allowed_ones(tmp_path, name):
    assert_refused(tmp_path, b"\x80\x02c" + name + b"\n)R.", "refused: it asks for")


def test_dotted_name_from_the_stack(tmp_path):
    pickled = b"\x80\x04\x8c\x05torch\x8c\x16FloatStorage.__class__\x93."
    assert_refused(tmp_path, pickled, "torch.FloatStorage.__class__")


def test_control_characters_do_not_reach_the_terminal(tmp_path):
    name = b"\x1b[2J\x07" + b"x" * 500
    assert_refused(tmp_path, b"\x80\x02c" + name + b"\nsystem\n.", "\\x1b[2J\\x07")


@pytest.mark.parametrize(
    "pickled",
    [
        REBUILD + b")R",  # no arguments
        REBUILD + b"(K\x01K\x02K\x03K\x04K\x05NtR",  # numbers for a storage
        REBUILD + b"(" + STORAGE + b"K\x00K\x04K\x01\x89NtR",  # numbers for shape and strides
        REBUILD + b"(" + STORAGE + b"K\x00(X\x01\x00\x00\x00at(K\x01t\x89NtR",  # text for a size
        ORDERED_DICT + b"(K\x01tR",  # a number for items
        ORDERED_DICT + b"(]K\x01atR",
        b"ctorch\nSize\n(K\x01tR",
        b"ctorch._utils\n_rebuild_parameter\n(K\x01\x89NtR",
        b"ctorch\nFloatStorage\n)R",  # a storage's class is not to be called
    ],
)
def test_allowed_functions_with_odd_arguments(tmp_path, pickled):
    assert_refused(tmp_path, b"\x80\x02" + pickled + b".", "pickle")


@pytest.mark.parametrize(
    "target",
    [REBUILD, ORDERED_DICT, b"ctorch\nFloatStorage\n", STORAGE, pickle_of_tensor()[2:-1]],
)
@pytest.mark.parametrize(
    "state",
    [
        b"}X\x08\x00\x00\x00__call__K\x01s",  # attributes
        b"N}X\x09\x00\x00\x00__class__K\x01s\x86",  # attributes by setattr
    ],
)
def test_state_set_on_functions_classes_and_tensors(tmp_path, target, state):
    assert_refused(tmp_path, b"\x80\x02" + target + state + b"b.", "sets the state")


def test_state_of_a_dictionary_is_dropped(tmp_path):
    pickled = b"\x80\x02" + ORDERED_DICT + b")R}X\x05\x00\x00\x00itemsK\x01sb."
    assert read(tmp_path, pickled, "zip") == {}


def test_odd_state_of_a_dictionary(tmp_path):
    pickled = b"\x80\x02" + ORDERED_DICT + b")RN}X\x05\x00\x00\x00itemsK\x01s\x86b."
    assert_refused(tmp_path, pickled, "odd state")


@pytest.mark.parametrize(
    ("instruction", "pickled"),
    [
        ("NEWOBJ", ORDERED_DICT + b")\x81"),
        ("OBJ", b"(" + ORDERED_DICT + b"o"),
        ("INST", b"(icollections\nOrderedDict\n"),
        ("EXT1", b"\x82\x01"),
        ("EXT4", b"\x84\x01\x00\x00\x00"),
        ("PERSID", b"Pstorage\n"),
        ("BYTEARRAY8", b"\x96" + struct.pack("<Q", 1) + b"x"),
        ("NEXT_BUFFER", b"\x97"),
        ("DUP", b"K\x01" + b"2" * 3),
    ],
)
def test_instructions_that_torch_does_not_write(tmp_path, instruction, pickled):
    assert_refused(tmp_path, b"\x80\x02" + pickled + b".", instruction)


@pytest.mark.parametrize(
    "identity",
    [
        b"X\x06\x00\x00\x00system",
        b"(X\x06\x00\x00\x00modulecos\nsystem\nNNt",
        b"(X\x06\x00\x00\x00moduleNNNt",
        b"(X\x07\x00\x00\x00storaget",
        b"(X\x07\x00\x00\x00storageK\x01K\x02K\x03K\x04t",
        b"(X\x07\x00\x00\x00storagectorch\nSize\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04t",
        b")",
        b"N",
        b"]",
    ],
)
def test_odd_references_to_storages(tmp_path, identity):
    assert_refused(tmp_path, b"\x80\x02" + identity + b"Q.", "")


@pytest.mark.parametrize("key", ["../../../etc/passwd", "/etc/passwd", "0/../0"])
def test_keys_that_look_like_paths(tmp_path, key):
    assert_refused(tmp_path, pickle_of_tensor(key=key), "is missing", ["zip"])
    assert_refused(tmp_path, pickle_of_tensor(key=key), "storage", ["legacy"])


def test_one_storage_described_twice(tmp_path):
    tensors = [pickle_of_tensor(numel=numel)[2:-1] for numel in (4, 5)]
    assert_refused(tmp_path, b"\x80\x02" + b"".join(tensors) + b"\x86.", "two ways")
