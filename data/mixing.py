"""The order of samples from several data sets, mixed by weights.

Like that of one data set, it is a pure function of the seed and a sample's number. Of the first n
samples of a run, each data set has as many as its weight says, rounded: where it stands after any
step is a division, and nothing before is read or counted. Within a step the rows are shuffled, so
that no device and no accumulated part of a batch always gets the same data set.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from data.sampling import SampleOrder, permutation
from tpsm_jax.errors import InputError

# What a stream of random numbers is for; data.sampling has 0 and 1.
_ROWS, _PASS = 2, 3


@dataclasses.dataclass(frozen=True)
class MixedOrder(SampleOrder):
    """The order of the samples of a training run on several data sets.

    An epoch has as many samples as `num_repeats` passes over all entries of all data sets together;
    how they fall to the data sets, the weights say. Each data set is gone through in passes of its
    own, whose ends need not be those of an epoch: a pass is a new shuffle, in which each of its
    entries comes once.

    Attributes:
      sizes: entries of each data set; `num_entries` is their sum.
      weights: whole numbers from 1, in the proportions of the samples.
    """

    sizes: tuple[int, ...]
    weights: tuple[int, ...]

    def entry(self, sample: int) -> int:
        """The entry that sample number `sample` is drawn from.

        Returns:
          Its number from 0 up, those of the data sets counted on one after the other.
        """
        step, row = divmod(sample, self.batch_size)
        place = step * self.batch_size + int(_rows(self.seed, step, self.batch_size)[row])
        part, number = self.place(place)
        nth_pass, position = divmod(number, self.sizes[part])
        order = _pass(self.seed, part, nth_pass, self.sizes[part])
        return sum(self.sizes[:part]) + int(order[position])

    def place(self, number: int) -> tuple[int, int]:
        """The data set whose turn it is, and how often it has been before, rows not yet shuffled.

        The first of two data sets with the share s has had floor(n s + 1/2) of the first n turns.
        Of more, the first has a share of all turns, the second one of the turns left, and so on.
        """
        weight_left = sum(self.weights)
        for part, weight in enumerate(self.weights[:-1]):
            before, after = (
                (2 * n * weight + weight_left) // (2 * weight_left) for n in (number, number + 1)
            )
            if after > before:
                return part, before
            number -= before
            weight_left -= weight
        return len(self.weights) - 1, number


def whole_weights(weights: Sequence[float], count: int) -> tuple[int, ...]:
    """Weights as whole numbers in the same proportions, 0.1 taken as a tenth.

    Args:
      weights: of the data sets.
      count: of data sets.

    Raises:
      InputError: there are not as many, or one is not a positive number.
    """
    if len(weights) != count:
        raise InputError(
            f"dataset.mix_weights has {len(weights)} weights for {count} data sets: give one for "
            "dataset.path, then one for each of dataset.mix_paths"
        )
    for weight in weights:
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not is_number or not 0 < weight < math.inf:
            raise InputError(f"dataset.mix_weights: {weight!r} is not a positive number")
    fractions = [Fraction(str(weight)) for weight in weights]
    unit = math.lcm(*(fraction.denominator for fraction in fractions))
    whole = [int(fraction * unit) for fraction in fractions]
    return tuple(number // math.gcd(*whole) for number in whole)


@functools.lru_cache(maxsize=16)  # a few steps are read at a time
def _rows(seed: int, step: int, batch_size: int) -> np.ndarray:
    return permutation(seed, _ROWS, step, batch_size)


@functools.lru_cache(maxsize=64)  # two passes of each data set are in use at a time
def _pass(seed: int, part: int, nth_pass: int, size: int) -> np.ndarray:
    return permutation(seed, _PASS + part, nth_pass, size)
