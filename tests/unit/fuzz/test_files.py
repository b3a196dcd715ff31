"""Thousands of mutated files: each is read, or refused in one line, in little time and memory.

`python -m tests.helpers.fuzz_weights SEED SEED+1` reads one again.
"""

import pytest

from tests.helpers.fuzzing import assert_survives

# Kind -> number of files.
KINDS = {
    "checkpoints": 5_000,
    "pictures": 5_000,
    "tables": 10_000,
    "videos": 5_000,
    "weights": 10_000,
}
FEW, MANY = 100, 1650


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_mutated_files(kind):
    assert_survives(f"tests.helpers.fuzz_{kind}", 0, FEW)


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "first", "last"),
    [
        (kind, first, min(first + MANY, count))
        for kind, count in KINDS.items()
        for first in range(FEW, count, MANY)
    ],
)
def test_more_mutated_files(kind, first, last):
    assert_survives(f"tests.helpers.fuzz_{kind}", first, last)
