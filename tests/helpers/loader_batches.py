"""Batches of a data set, compared and counted."""

from itertools import islice
from typing import Any

import numpy as np
import pytest

from data.loader import ClipDataset
from data.sampling import SampleOrder


def batches_of(dataset: ClipDataset, count: int, **arguments: int) -> list[dict[str, Any]]:
    given = {"batch_size": 4, "num_repeats": 7, "seed": 1, "workers": 2} | arguments
    with dataset.batches(**given) as batches:
        return list(islice(batches, count))


def assert_equal(some: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        assert one.keys() == other.keys() >= {"name", "source", "driving"}
        assert one["name"] == other["name"]
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


def record_samples(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that gets the number of every sample read from now on."""
    read, numbers = ClipDataset._read, []

    def recorded(self: ClipDataset, order: SampleOrder, sample: int, *more: Any) -> Any:
        numbers.append(sample)
        return read(self, order, sample, *more)

    monkeypatch.setattr(ClipDataset, "_read", recorded)
    return numbers
