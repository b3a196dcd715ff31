"""Small pickles that ask for much: memory, depth, hashing. They are refused, or cost little."""

import pickle
import struct
import subprocess
import sys

import pytest

from tests.helpers.torch_files import write_zip
from tests.helpers.torch_pickles import ORDERED_DICT, REBUILD, STORAGE, assert_refused, read


def test_large_memo_number(tmp_path):
    assert_refused(tmp_path, b"\x80\x02Nr" + struct.pack("<I", 2**32 - 1) + b".", "impossible way")


@pytest.mark.parametrize(
    "pickled",
    [
        b"X" + struct.pack("<I", 2**31) + b"x",
        b"T" + struct.pack("<i", 2**31 - 1) + b"x",
        b"\x8b" + struct.pack("<i", 2**31 - 1) + b"x",
        b"\x95" + struct.pack("<Q", 2**62) + b"N",
        b"\x8d" + struct.pack("<Q", 2**62) + b"x",
    ],
)
def test_large_lengths(tmp_path, pickled):
    assert_refused(tmp_path, b"\x80\x04" + pickled, "")


def test_deep_nesting(tmp_path):
    assert_refused(tmp_path, b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", "too deeply")


def test_a_list_that_holds_itself(tmp_path):
    assert_refused(tmp_path, b"\x80\x02]q\x00h\x00a.", "too deeply")


def test_exponential_sharing(tmp_path):
    tree = []
    for _ in range(50):
        tree = [tree, tree]  # 2 ** 50 entries if written out
    found = read(tmp_path, pickle.dumps(tree, protocol=2), "zip")
    for _ in range(50):
        assert found[0] is found[1]
        found = found[0]


def test_keys_that_are_no_names(tmp_path):
    assert_refused(tmp_path, b"\x80\x02}NK\x01s.", "keys")


@pytest.mark.parametrize("pickled", [b".", b"", b"h\x05.", b"a.", b"NNN", b"N)R.", b"\xff."])
def test_broken_pickles(tmp_path, pickled):
    assert_refused(tmp_path, b"\x80\x02" + pickled, "")


@pytest.mark.slow
@pytest.mark.parametrize(
    "keys",
    [
        b"}" + b")" + b"\x85" * 1_000_000 + b"K\x01s",
        b"}(K\x01K\x02)" + b"\x85" * 1_000_000 + b"K\x01u",
        # By way of the memo, and by an instruction that leaves a tuple as it was.
        b")" + b"\x85" * 1_000_000 + b"Nbq\x00}h\x00K\x01s",
        ORDERED_DICT + b"])" + b"\x85" * 1_000_000 + b"K\x01\x86a\x85R",
        # Twice as many to hash at each step.
        b"}" + b")" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(60)) + b"K\x01s",
    ],
)
def test_keys_that_take_long_to_hash(tmp_path, keys):
    path = write_zip(tmp_path / "hostile.pth", {"a/data.pkl": b"\x80\x02" + keys + b"."})
    # A crash of the interpreter would take the tests with it.
    script = (
        "import sys\nfrom tpsm_jax.cli import run_script\n"
        "from tpsm_jax.checkpoints.torch import read_torch_file\n"
        "run_script(lambda: read_torch_file(sys.argv[1]))"
    )
    command = [sys.executable, "-c", script, str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("prefix", "call", "words"),
    [
        (b"ctorch\nSize\nq\x00", b"h\x00h\x01\x85R", "torch.Size"),
        (b"", REBUILD + b"(" + STORAGE + b"K\x00h\x01h\x01\x89NtR", "do not match"),
    ],
)
def test_a_long_list_is_no_shape(tmp_path, prefix, call, words):
    sizes = b"](" + b"K\x01" * 33 + b"eq\x01"
    assert_refused(tmp_path, b"\x80\x02" + prefix + sizes + call + b".", words)


def test_a_list_made_a_dictionary_again_and_again(tmp_path):
    items = ORDERED_DICT + b"q\x00](" + b"K\x01N\x86" * 1000 + b"eq\x01"
    pickled = b"\x80\x02(" + items + b"h\x00h\x01\x85R" * 50 + b"t."
    assert_refused(tmp_path, pickled, "beyond its own length")


@pytest.mark.parametrize("number", [2**63, -(2**63), 10**5000], ids=["2^63", "-2^63", "10^5000"])
def test_keys_that_are_huge_numbers(tmp_path, number):
    assert_refused(tmp_path, pickle.dumps({number: None}, protocol=2), "keys")
