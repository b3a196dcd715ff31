"""Chooses the clip and the frames of a sample, a pure function of the seed and its number.

No state passes from sample to sample. So training resumes at any step without reading what came
before, and any number of processes and threads agree.

The samples of a run are numbered: sample i = step * batch_size + row. Only the raw output of Philox
is used, which no release of NumPy may change.
"""

import dataclasses
import functools

import numpy as np

from tpsm_jax.errors import InputError

# The purpose of a stream of random numbers is one half of Philox's key, the seed the other half.
# Purposes from 2 up belong to data.mixing.
_ORDER, _SAMPLE, _REPLACEMENT = 0, 1, 2**63


@dataclasses.dataclass(frozen=True)
class SampleDraws:
    """The random numbers of one sample, all uniform in [0, 1).

    Attributes:
      clip: chooses among the clips of an identity.
      frames: choose the two frames.
      resize: chooses the scale (MGif).
      crop: (across, down), choose the part that is cut out (MGif).
    """

    clip: float
    frames: tuple[float, float]
    resize: float
    crop: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class SampleOrder:
    """The order of the samples of a training run.

    An epoch is a new shuffle of `num_repeats` copies of all entries, like the reference's. The
    last samples, which do not fill a batch, are dropped; they differ from epoch to epoch.

    Attributes:
      seed: seed of the run, 0 <= seed < 2**64.
      num_entries: number of clips or identities.
      num_repeats: passes over the entries in an epoch.
      batch_size: samples in a batch of all processes together.
    """

    seed: int
    num_entries: int
    num_repeats: int
    batch_size: int

    def __post_init__(self) -> None:
        """Raises: InputError: the seed is out of range, or an epoch does not fill a batch."""
        if not 0 <= self.seed < 2**64:
            raise InputError(f"seed {self.seed}: give a whole number from 0 up")
        if not 1 <= self.batch_size <= self.num_samples:
            raise InputError(
                f"batches of {self.batch_size} from an epoch of {self.num_samples} samples: "
                "set a batch_size that fits, or more num_repeats"
            )

    @property
    def num_samples(self) -> int:
        """Number of samples in an epoch, including those that are dropped."""
        return self.num_entries * self.num_repeats

    @property
    def steps_per_epoch(self) -> int:
        """Number of whole batches in an epoch."""
        return self.num_samples // self.batch_size

    def entry(self, sample: int) -> int:
        """The entry, from 0 up, that sample number `sample` is drawn from."""
        step, row = divmod(sample, self.batch_size)
        epoch, step = divmod(step, self.steps_per_epoch)
        order = _epoch(self.seed, epoch, self.num_samples)
        return int(order[step * self.batch_size + row]) % self.num_entries

    def draws(self, sample: int) -> SampleDraws:
        """The random numbers of sample number `sample`."""
        clip, first, second, scale, across, down = _uniforms(self.seed, _SAMPLE, sample, 6).tolist()
        return SampleDraws(clip, (first, second), scale, (across, down))

    def shuffle(self, sample: int, length: int) -> np.ndarray:
        """The integers below `length`, shuffled for sample number `sample`."""
        return permutation(self.seed, _REPLACEMENT, sample, length)


def permutation(seed: int, purpose: int, number: int, length: int) -> np.ndarray:
    """Shuffle number `number` of the integers below `length`, for one purpose."""
    return np.argsort(_uniforms(seed, purpose, number, length), kind="stable")


@functools.lru_cache(maxsize=2)  # two epochs are in use where one ends
def _epoch(seed: int, epoch: int, length: int) -> np.ndarray:
    return permutation(seed, _ORDER, epoch, length)


def _uniforms(seed: int, purpose: int, number: int, count: int) -> np.ndarray:
    # The counter's upper words hold the number, so streams begin 2**128 values apart.
    bits = np.random.Philox(key=seed | purpose << 64, counter=number << 128)
    return (bits.random_raw(count) >> np.uint64(11)) * 2.0**-53


def ordered(first: float, second: float, count: int) -> list[int]:
    """Two numbers in [0, 1) as frame numbers below `count`, the smaller first."""
    return sorted((int(first * count), int(second * count)))
