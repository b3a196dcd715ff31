"""Mutated pictures: each is read, or refused in one line, in little time and memory.

`python -m tests.helpers.fuzz_pictures SEED SEED+1` reads one again.
"""

import pytest

from tests.helpers.fuzzing import assert_survives

MODULE = "tests.helpers.fuzz_pictures"


@pytest.mark.slow
def test_mutated_pictures():
    assert_survives(MODULE, 0, 100)


@pytest.mark.long
def test_more_mutated_pictures():
    assert_survives(MODULE, 100, 5000)
