"""Ten thousand mutated tables and JSON files: each is read or refused in one line, in little room.

`python -m tests.helpers.fuzz_tables SEED SEED+1` reads one again.
"""

import pytest

from tests.helpers.fuzzing import assert_survives

MODULE = "tests.helpers.fuzz_tables"


@pytest.mark.slow
def test_mutated_files():
    assert_survives(MODULE, 0, 100)


@pytest.mark.long
@pytest.mark.parametrize("first", range(100, 10_000, 1650))
def test_more_mutated_files(first):
    assert_survives(MODULE, first, first + 1650)
