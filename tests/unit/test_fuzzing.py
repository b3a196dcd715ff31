"""The fuzz itself: it sees what goes wrong, and names the seed."""

import random
import subprocess
import sys

import pytest

from tests.helpers.fuzzing import mutated

CASES = """
import sys
from tests.helpers import fuzzing
from tpsm_jax.errors import InputError
kept = []
def fine(): pass
def refused(): raise InputError("no")
def wrong(): raise ValueError("wrong")
def panic(): raise BaseException("panic")
def hidden():
    try: raise MemoryError
    except MemoryError as error: raise InputError("no") from error
def hang():
    while True: pass
def large(): kept.append(b"x" * 2**28)
case = globals()[sys.argv.pop()]
if case is hang: fuzzing.SECONDS = 0.5  # no other case is in a hurry, on any machine
fuzzing.run(lambda rng, place: case if rng.random() != first else fine, 100)
"""
FIRST = f"first = {random.Random(-1).random()}\n"  # before which the memory is measured


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("fine", 0),
        ("refused", 0),
        ("wrong", 1),
        ("panic", 1),
        ("hidden", 1),
        ("large", 1),
        ("hang", -27),
    ],
)
def test_what_is_a_failure(name, code):
    done = subprocess.run(
        [sys.executable, "-c", FIRST + CASES, "3", "5", name], capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    assert done.stdout.split()[0] == "3"


def test_mutations_that_nothing_minds_are_a_failure():
    done = subprocess.run(
        [sys.executable, "-c", FIRST + CASES, "3", "103", "fine"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "nothing was refused" in done.stderr


def test_files_depend_on_the_seed_alone():
    data = bytes(range(256)) * 4
    made = [mutated(random.Random(seed), data) for seed in range(200)]
    assert made == [mutated(random.Random(seed), data) for seed in range(200)]
    assert sum(each != data for each in made) > 190
    assert len(set(made)) > 190
