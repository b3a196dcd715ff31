"""Objects that are no tensors, next to the weights: read past, never made."""

import argparse
import collections
import os
import pickle
import types

import numpy as np
import pytest

from tests.helpers.torch_files import pickle_of_tensor
from tests.helpers.torch_pickles import FORMATS, ORDERED_DICT, STORAGE, assert_refused, read
from tpsm_jax.checkpoints.torch.records import Opaque

TENSOR = pickle_of_tensor()[2:-1]


def entry(name, value):
    """A piece of a pickle that sets an item of the dictionary below it."""
    return b"U" + bytes([len(name)]) + name.encode() + value + b"s"


def tree_with(tmp_path, form, value):
    """What is read of {"weight": tensor, "other": value, "epoch": 3}; `value` is a pickle."""
    body = value[2:-1]
    items = entry("weight", TENSOR) + entry("other", body) + entry("epoch", b"K\x03")
    tree = read(tmp_path, value[:2] + b"}" + items + b".", form)
    assert tree["weight"].shape == (2, 2)
    assert tree["epoch"] == 3
    return tree["other"]


class Settings:
    """A class with state; `run` names a function of this machine."""

    def __init__(self):
        self.run = os.system
        self.nested = {"items": [1, {2, 3}]}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize(
    ("value", "name"),
    [
        (np.float64(0.25), "numpy._core.multiarray.scalar"),
        (collections.Counter({60: 1, 90: 1}), "collections.Counter"),
        (argparse.Namespace(lr=1e-4, gpus=[0, 1]), "argparse.Namespace"),
        (collections.defaultdict(list, {"a": [1]}), "collections.defaultdict"),
        (collections.deque([1, 2], 5), "collections.deque"),
        (types.SimpleNamespace(a=1), "types.SimpleNamespace"),
        (Settings(), f"{__name__}.Settings"),
        (1 + 2j, "builtins.complex"),
        (Opaque, f"{Opaque.__module__}.Opaque"),
    ],
)
def test_objects_are_read_past(tmp_path, form, protocol, value, name):
    found = tree_with(tmp_path, form, pickle.dumps(value, protocol))
    assert found.name.replace("__builtin__", "builtins") == name


@pytest.mark.parametrize("protocol", range(2, 6))
def test_numpy_arrays(tmp_path, protocol):
    found = tree_with(tmp_path, "zip", pickle.dumps(np.arange(3), protocol))
    assert found.name.startswith("numpy._core.")


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("value", [{1, 2}, frozenset("ab"), set()])
def test_sets(tmp_path, protocol, value):
    assert isinstance(tree_with(tmp_path, "zip", pickle.dumps(value, protocol)), Opaque)


@pytest.mark.parametrize("key", [(1, 2), None, 0.5, b"k", 2**70])
def test_a_dictionary_with_other_keys(tmp_path, key):
    found = tree_with(tmp_path, "zip", pickle.dumps({"a": 1, key: 2}, 2))
    assert "keys that are neither text nor numbers" in found.name


def test_a_tuple_that_holds_itself(tmp_path):
    holder = Settings()
    holder.again = (holder, (1, holder))
    assert isinstance(tree_with(tmp_path, "zip", pickle.dumps(holder, 2)), Opaque)


def test_nothing_is_run(tmp_path):
    class Call:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    found = tree_with(tmp_path, "zip", pickle.dumps(Call(), 2))
    assert found.name == f"{os.name}.system"
    assert not (tmp_path / "ran").exists()


def test_state_and_items_of_such_objects_are_dropped(tmp_path):
    made = b"\x80\x02cnowhere\nThing\n)\x81}X\x08\x00\x00\x00__call__K\x01sb(K\x01K\x02u(K\x03e."
    assert tree_with(tmp_path, "zip", made).name == "nowhere.Thing"


@pytest.mark.parametrize(
    "wrapped",
    [
        b"ctorch._utils\n_rebuild_qtensor\n(" + STORAGE + b"K\x00tR",
        b"ctorch._utils\n_rebuild_parameter\n(ctorch._utils\n_rebuild_qtensor\n)R\x89NtR",
        ORDERED_DICT + b"(ctorch._utils\n_rebuild_qtensor\n)RtR",
    ],
)
def test_a_tensor_of_another_kind(tmp_path, wrapped):
    found = tree_with(tmp_path, "zip", b"\x80\x02" + wrapped + b".")
    assert found.name == "torch._utils._rebuild_qtensor"


def test_a_module_of_the_old_format(tmp_path):
    # Which kept the class, its file and its source text as a persistent object.
    saved = (
        b"(X\x06\x00\x00\x00modulecmodels\nNet\nX\x04\x00\x00\x00n.pyX\x01\x00\x00\x00xtQ)\x81}b"
    )
    assert tree_with(tmp_path, "legacy", b"\x80\x02" + saved + b".").name == "models.Net"


def test_another_kind_of_storage(tmp_path):
    storage = STORAGE.replace(b"FloatStorage", b"QInt8Storage")
    assert_refused(tmp_path, b"\x80\x02" + storage + b".", "torch.QInt8Storage", ["zip"])


def test_names_are_cut_before_they_cost_memory(tmp_path):
    text = b"X\x40\x42\x0f\x00" + b"a" * 10**6
    names = b"h\x00h\x00\x93" * 1000  # 2 GB if they were put together
    found = tree_with(tmp_path, "zip", b"\x80\x04" + text + b"q\x000(" + names + b"l.")
    assert len(found) == 1000
    assert all(len(opaque.name) <= 200 for opaque in found)
