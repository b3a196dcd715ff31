"""The order of samples has whole epochs and depends only on the seed and the number."""

from collections import Counter

import numpy as np
import pytest

from data.sampling import SampleDraws, SampleOrder
from tpsm_jax.errors import InputError

# Of the order with seed 5 below.
ENTRIES = [3, 4, 2, 4, 3, 1, 5, 0, 0, 5, 1, 2]
DRAWS = SampleDraws(
    clip=0.6378165294409281,
    frames=(0.33249263039971366, 0.903368923176462),
    resize=0.855513039064209,
    crop=(0.2357612728078723, 0.2645343065604545),
)


def entries_of_epoch(order: SampleOrder, epoch: int) -> list[int]:
    size = order.steps_per_epoch * order.batch_size
    return [order.entry(sample) for sample in range(epoch * size, (epoch + 1) * size)]


def test_an_epoch_has_every_entry_as_often_as_repeated() -> None:
    order = SampleOrder(seed=0, num_entries=7, num_repeats=4, batch_size=14)
    assert order.num_samples == 28
    assert order.steps_per_epoch == 2
    for epoch in range(3):
        assert Counter(entries_of_epoch(order, epoch)) == dict.fromkeys(range(7), 4)


def test_the_last_samples_that_fill_no_batch_are_dropped() -> None:
    order = SampleOrder(seed=0, num_entries=10, num_repeats=1, batch_size=4)
    assert order.steps_per_epoch == 2
    epochs = [entries_of_epoch(order, epoch) for epoch in range(60)]
    assert all(len(set(epoch)) == 8 for epoch in epochs)  # none twice
    assert set().union(*epochs) == set(range(10))  # other ones are dropped each time
    dropped = Counter(entry for epoch in epochs for entry in set(range(10)) - set(epoch))
    assert max(dropped.values()) < 30


def test_epochs_and_seeds_differ() -> None:
    order = SampleOrder(seed=3, num_entries=50, num_repeats=1, batch_size=10)
    other = SampleOrder(seed=4, num_entries=50, num_repeats=1, batch_size=10)
    epochs = [entries_of_epoch(order, 0), entries_of_epoch(order, 1), entries_of_epoch(other, 0)]
    assert len(set(map(tuple, epochs))) == 3
    assert list(range(50)) not in epochs
    assert order.draws(0) != order.draws(1)
    assert order.draws(0) != other.draws(0)


def test_the_draws_of_a_sample_do_not_depend_on_the_batch_size() -> None:
    one, other = (SampleOrder(seed=3, num_entries=9, num_repeats=5, batch_size=b) for b in (2, 45))
    assert one.draws(17) == other.draws(17)


def test_draws_are_uniform_and_independent() -> None:
    order = SampleOrder(seed=0, num_entries=1, num_repeats=1, batch_size=1)
    draws = [order.draws(sample) for sample in range(2000)]
    values = np.array([(d.clip, *d.frames, d.resize, *d.crop) for d in draws])
    assert values.min() >= 0
    assert values.max() < 1
    histogram = np.stack([np.histogram(column, bins=10, range=(0, 1))[0] for column in values.T])
    assert np.abs(histogram - 200).max() < 70  # five standard deviations
    correlation = np.corrcoef(np.concatenate([values[:-1], values[1:]], axis=1).T)
    assert np.abs(correlation - np.eye(12)).max() < 0.12


def test_a_run_of_years_ago_can_go_on() -> None:
    """These numbers may never change: runs resume by them."""
    order = SampleOrder(seed=5, num_entries=6, num_repeats=2, batch_size=3)
    assert [order.entry(sample) for sample in range(12)] == ENTRIES
    assert order.draws(1_000_003) == DRAWS


@pytest.mark.parametrize("batch_size", [0, 13])
def test_an_epoch_smaller_than_a_batch_is_reported_with_both_numbers(batch_size: int) -> None:
    with pytest.raises(InputError, match=f"batches of {batch_size} from an epoch of 12 samples"):
        SampleOrder(seed=0, num_entries=6, num_repeats=2, batch_size=batch_size)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(InputError, match="whole number from 0 up"):
        SampleOrder(seed=seed, num_entries=6, num_repeats=2, batch_size=1)
