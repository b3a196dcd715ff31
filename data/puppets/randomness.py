"""Random choices that stay the same from one release of NumPy to the next."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")


class Dice:
    """A stream of random choices keyed by whole numbers.

    Only `Generator.random` is used: unlike `normal` or `choice` its stream has never changed.
    """

    def __init__(self, *key: int) -> None:
        self._generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * float(self._generator.random())

    def pick(self, items: Sequence[Item]) -> Item:
        """One of `items`."""
        return items[int(self._generator.random() * len(items))]

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return float(self._generator.random()) < probability

    def field(self, *shape: int) -> np.ndarray:
        """An array of numbers in [0, 1)."""
        return self._generator.random(shape)
