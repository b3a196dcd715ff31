"""The order of samples from several data sets, mixed by weights.

Like the order of one data set, it is a pure function of the seed and a sample's number. Among the
first n samples of a run, each data set has the share that its weight says, rounded. So its position
after any step is found by a division, and nothing before is read or counted. The rows of a step are
shuffled. Otherwise a device, or an accumulated part of a batch, would always get the same data set.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from data.sampling import SampleOrder, permutation
from tpsm_jax.errors import InputError

# Purposes of streams of random numbers; 0 and 1 belong to data.sampling.
_ROWS, _PASS = 2, 3


@dataclasses.dataclass(frozen=True)
class MixedOrder(SampleOrder):
    """The order of the samples of a training run on several data sets.

    An epoch has as many samples as `num_repeats` passes over all entries of all data sets together.
    The weights divide them among the data sets. Each data set has its own passes, which need not
    end with an epoch. A pass is a new shuffle that contains each of its entries once.

    Attributes:
      sizes: number of entries of each data set; `num_entries` is their sum.
      weights: whole numbers from 1, in the proportions of the samples.
    """

    sizes: tuple[int, ...]
    weights: tuple[int, ...]

    def entry(self, sample: int) -> int:
        """The entry that sample number `sample` is drawn from.

        Returns:
          Its number from 0 up, counted through the data sets one after the other.
        """
        step, row = divmod(sample, self.batch_size)
        place = step * self.batch_size + int(_rows(self.seed, step, self.batch_size)[row])
        part, number = self.place(place)
        nth_pass, position = divmod(number, self.sizes[part])
        order = _pass(self.seed, part, nth_pass, self.sizes[part])
        return sum(self.sizes[:part]) + int(order[position])

    def place(self, number: int) -> tuple[int, int]:
        """The data set at a place of the unshuffled order, and its number of places before that.

        With two data sets, the first, with the share s, has floor(n s + 1/2) of the first n places.
        With more, the first has its share of all places, the second its share of the rest, and so
        on.
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
    """Weights as whole numbers in the same proportions; 0.1 counts as a tenth.

    Args:
      weights: one weight per data set.
      count: number of data sets.

    Raises:
      InputError: there are more or fewer weights, or one is not a positive number.
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


@functools.lru_cache(maxsize=16)  # threads read a few steps at a time
def _rows(seed: int, step: int, batch_size: int) -> np.ndarray:
    return permutation(seed, _ROWS, step, batch_size)


@functools.lru_cache(maxsize=64)  # two passes of each data set are in use at a time
def _pass(seed: int, part: int, nth_pass: int, size: int) -> np.ndarray:
    return permutation(seed, _PASS + part, nth_pass, size)
