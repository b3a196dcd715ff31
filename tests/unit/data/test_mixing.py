"""Several data sets in one order, by weight, each in whole passes, from any step on."""

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.loader import ClipDataset, open_dataset
from data.mixing import MixedOrder, whole_weights
from tests.helpers.clip_files import label, small_config, write_folder
from tpsm_jax.errors import InputError

# Of the order below with seed 5.
ENTRIES = [7, 5, 4, 1, 3, 2, 5, 2, 6, 8, 6, 0]


def mixed(
    sizes: tuple[int, ...], weights: tuple[int, ...], batch_size: int = 6, seed: int = 5
) -> MixedOrder:
    return MixedOrder(seed, sum(sizes), 4, batch_size, sizes, weights)


def parts_and_entries(order: MixedOrder, samples: range) -> list[tuple[int, int]]:
    """The data set of each sample, and the entry within it."""
    firsts = np.cumsum([0, *order.sizes])
    entries = [order.entry(sample) for sample in samples]
    parts = [int(np.searchsorted(firsts, entry, "right")) - 1 for entry in entries]
    return [(part, entry - int(firsts[part])) for part, entry in zip(parts, entries, strict=True)]


@pytest.mark.parametrize("weights", [(1, 1), (7, 3), (1, 99), (5, 3, 2), (1, 1, 1), (1, 10, 3)])
def test_after_any_step_every_data_set_has_had_its_share(weights: tuple[int, ...]) -> None:
    order = mixed((5, 9, 4)[: len(weights)], weights)
    had = [0] * len(weights)
    for step in range(300):
        for part, _ in parts_and_entries(order, range(6 * step, 6 * step + 6)):
            had[part] += 1
        due = [6 * (step + 1) * weight / sum(weights) for weight in weights]
        assert max(np.abs(np.subtract(had, due))) <= (0.5 if len(weights) == 2 else 1)


def test_each_data_set_is_gone_through_in_passes_that_cover_it_once() -> None:
    taken: dict[int, list[int]] = {0: [], 1: [], 2: []}
    # Within a step the rows are shuffled, so passes are whole where steps are.
    order = mixed((5, 9, 4), (5, 3, 2), batch_size=1)
    for part, entry in parts_and_entries(order, range(2000)):
        taken[part].append(entry)
    for part, size in enumerate(order.sizes):
        entries = taken[part]
        passes = [entries[n : n + size] for n in range(0, len(entries) - size + 1, size)]
        assert len(passes) > 40
        assert all(sorted(one) == list(range(size)) for one in passes)
        assert len(set(map(tuple, passes))) > 20  # shuffled again


def test_larger_batches_hold_the_same_passes() -> None:
    """An entry repeats only after all others, except in the step in which a pass ends."""
    order = mixed((50, 30), (2, 1), batch_size=6)
    samples = parts_and_entries(order, range(6 * 25))  # 100 and 50: two passes, one and two thirds
    assert Counter(entry for part, entry in samples if part == 0) == dict.fromkeys(range(50), 2)
    seen = Counter(entry for part, entry in samples if part == 1)
    assert set(seen.values()) == {1, 2}
    assert len(seen) == 30


def test_the_rows_of_a_step_are_shuffled() -> None:
    order = mixed((5, 9), (1, 1))
    rows = [
        tuple(part for part, _ in parts_and_entries(order, range(6 * step, 6 * step + 6)))
        for step in range(40)
    ]
    assert all(sum(row) == 3 for row in rows)
    assert len(set(rows)) > 8
    assert all(0 < sum(row[place] for row in rows) < 40 for place in range(6))


def test_far_ahead_is_as_near_as_the_start() -> None:
    order = mixed((5, 9), (1, 2))
    parts = Counter(part for part, _ in parts_and_entries(order, range(6 * 10**12, 6 * 10**12 + 6)))
    assert parts == {0: 2, 1: 4}


def test_a_run_of_years_ago_can_go_on() -> None:
    """These numbers may never change: runs resume by them."""
    order = mixed((3, 6), (1, 2))
    assert [order.entry(sample) for sample in range(12)] == ENTRIES
    assert order.steps_per_epoch == 4 * 9 // 6


@pytest.mark.parametrize(
    ("weights", "whole"),
    [
        ((0.7, 0.3), (7, 3)),
        ((1, 2), (1, 2)),
        ((2.0, 4.0), (1, 2)),
        ((0.1, 0.25, 1e-3), (100, 250, 1)),
        ((1e3, 1), (1000, 1)),
    ],
)
def test_weights_as_they_are_written(weights: tuple, whole: tuple) -> None:
    assert whole_weights(weights, len(weights)) == whole


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((), "has 0 weights for 2 data sets: give one for dataset.path"),
        ((1, 2, 3), "has 3 weights for 2 data sets"),
        ((1, 0), "0 is not a positive number"),
        ((1, -0.5), "-0.5 is not a positive number"),
        ((1, float("nan")), "nan is not a positive number"),
        ((float("inf"), 1), "inf is not a positive number"),
        ((1, True), "True is not a positive number"),
        ((1, None), "None is not a positive number"),
        (((1, 2), 1), r"\(1, 2\) is not a positive number"),
        (("a", 1), "'a' is not a positive number"),
    ],
)
def test_weights_that_do_not_do_are_reported(weights: tuple, message: str) -> None:
    with pytest.raises(InputError, match=message):
        whole_weights(weights, 2)


# ---------------------------------------------------------------- as the loader reads them


def mixture(tmp_path: Path, **fields: Any) -> ClipDataset:
    """Clips 0 to 2 in one data set, 3 and 4 in another, and half of the samples from each."""
    for number in range(5):
        write_folder(tmp_path / f"{number // 3}" / "train" / f"clip{number}", number, 3)
    for number in range(2):
        write_folder(tmp_path / f"{number}" / "test" / f"test{number}", number, 1)
    config = small_config(tmp_path / "0")
    config.dataset.mix_paths = (str(tmp_path / "1"),)
    config.dataset.mix_weights = (0.5, 0.5)
    config.dataset_params.update(fields)
    return open_dataset(config)


def read(dataset: ClipDataset, count: int, **arguments: int) -> list[dict[str, Any]]:
    given = {"batch_size": 4, "num_repeats": 3, "seed": 1, "workers": 2} | arguments
    with dataset.batches(**given) as batches:
        return list(islice(batches, count))


def test_batches_of_a_mixture(tmp_path: Path) -> None:
    dataset = mixture(tmp_path)
    assert dataset.steps_per_epoch(batch_size=4, num_repeats=3) == 3 * 5 // 4
    batches = read(dataset, 12)
    for batch in batches:
        assert sum(name in ("clip3", "clip4") for name in batch["name"]) == 2
        for row, name in enumerate(batch["name"]):
            assert name == f"clip{label(batch['source'][row])[0]}"
            assert name == f"clip{label(batch['driving'][row])[0]}"
    names = Counter(name for batch in batches for name in batch["name"])
    assert names == {"clip0": 8, "clip1": 8, "clip2": 8, "clip3": 12, "clip4": 12}


def test_a_mixture_goes_on_at_any_step_and_on_any_number_of_processes(tmp_path: Path) -> None:
    dataset = mixture(tmp_path)
    every = read(dataset, 9)
    for start in (1, 4, 7):
        later = read(dataset, 9 - start, start_step=start)
        for one, other in zip(later, every[start:], strict=True):
            assert one["name"] == other["name"]
            np.testing.assert_array_equal(one["driving"], other["driving"])
    parts = [read(dataset, 9, process_index=index, process_count=2) for index in range(2)]
    joined = [one["name"] + other["name"] for one, other in zip(*parts, strict=True)]
    assert joined == [batch["name"] for batch in every]


def test_an_identity_of_two_data_sets_is_two(tmp_path: Path) -> None:
    for number, name in enumerate(("id1#a", "id1#b")):
        write_folder(tmp_path / f"{number}" / "train" / name, number, 1)
    dataset = mixture(tmp_path, id_sampling=True)
    assert [[clip.name for clip in entry] for entry in dataset.entries][3:5] == [
        ["id1#a"],
        ["clip3"],
    ]
    assert len(dataset.entries) == 7


def test_what_is_read_is_reported(tmp_path: Path) -> None:
    assert mixture(tmp_path).describe().splitlines() == [
        f"{tmp_path}/0: folder of clips, 3 clips, 50.0% of the samples",
        f"{tmp_path}/1: folder of clips, 2 clips, 50.0% of the samples",
    ]
    with_identities = mixture(tmp_path / "again", id_sampling=True).describe().splitlines()
    assert with_identities[1] == (
        f"{tmp_path}/again/1: folder of clips, 2 clips, 2 identities, 50.0% of the samples"
    )


def test_weights_without_data_sets_and_the_other_way_round(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    config.dataset.mix_weights = (1, 2)
    with pytest.raises(InputError, match="has 2 weights for 1 data sets"):
        open_dataset(config)
    config.dataset.mix_weights = ()
    config.dataset.mix_paths = ("a", "b")
    with pytest.raises(InputError, match="has 0 weights for 3 data sets"):
        open_dataset(config)


def test_testing_takes_the_first_data_set_alone(tmp_path: Path) -> None:
    mixture(tmp_path)
    config = small_config(tmp_path / "0")
    config.dataset.mix_paths = (str(tmp_path / "1"),)
    config.dataset.mix_weights = (1, 1)
    tested = open_dataset(config, "test")
    assert [clip.name for entry in tested.entries for clip in entry] == ["test0"]
