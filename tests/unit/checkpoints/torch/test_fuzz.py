"""Ten thousand mutated weight files: each is read or refused in one line, in little time and room.

`python -m tests.helpers.fuzz_weights SEED SEED+1` reads one again.
"""

import pytest

from tests.helpers.fuzzing import assert_survives

MODULE = "tests.helpers.fuzz_weights"


@pytest.mark.slow
def test_mutated_files():
    assert_survives(MODULE, 0, 100)


@pytest.mark.long
@pytest.mark.parametrize("first", range(100, 10_000, 2475))
def test_more_mutated_files(first):
    assert_survives(MODULE, first, first + 2475)
