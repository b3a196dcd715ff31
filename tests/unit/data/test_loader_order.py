"""Batches come in one order whatever the threads do, from any step on, shared by processes."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.clips import FolderClip
from data.loader import open_dataset
from data.sampling import SampleOrder
from tests.helpers.clip_files import small_config, write_folder
from tests.helpers.loader_batches import assert_equal, batches_of, record_samples


def test_order_does_not_depend_on_threads_or_their_timing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = open_dataset(small_config(root))
    expected = batches_of(dataset, 8, workers=1)
    pair, done = FolderClip.pair, []

    def slow(self: FolderClip, first: float, second: float) -> Any:
        time.sleep(first * 0.02)
        done.append((first, second))
        return pair(self, first, second)

    monkeypatch.setattr(FolderClip, "pair", slow)
    assert_equal(batches_of(dataset, 8, workers=8), expected)
    order = SampleOrder(seed=1, num_entries=3, num_repeats=7, batch_size=4)
    in_order = [order.draws(sample).frames for sample in range(len(done))]
    assert done != in_order, "the threads took turns: nothing was tested"


@pytest.mark.parametrize("workers", [0, 3])
def test_batches_from_a_step_on_are_the_tail_of_all(root: Path, workers: int) -> None:
    dataset = open_dataset(small_config(root))
    every = batches_of(dataset, 13)  # an epoch has 5
    for start in (1, 5, 9):
        assert_equal(
            batches_of(dataset, 13 - start, start_step=start, workers=workers), every[start:]
        )


def test_skipping_reads_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = record_samples(monkeypatch)
    batches_of(open_dataset(small_config(root)), 2, start_step=1_000_000)
    assert min(samples) == 4_000_000


def test_processes_share_the_batch_of_one(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_dataset(small_config(root))
    whole = batches_of(dataset, 7, batch_size=6)
    read = []
    parts = []
    for index in range(2):
        with monkeypatch.context() as patch:
            read.append(record_samples(patch))
            parts.append(batches_of(dataset, 7, batch_size=6, process_index=index, process_count=2))
    joined = [
        {
            "source": np.concatenate([one["source"], other["source"]]),
            "driving": np.concatenate([one["driving"], other["driving"]]),
            "name": one["name"] + other["name"],
        }
        for one, other in zip(*parts, strict=True)
    ]
    assert_equal(joined, whole)
    assert not set(read[0]) & set(read[1])


def test_an_epoch_of_two_hosts_holds_every_clip_once(tmp_path: Path) -> None:
    """Two processes that do not communicate share an epoch, also one of identities."""
    for number in range(12):
        write_folder(tmp_path / "train" / f"id{number // 2}#{number}", number, 1)
    write_folder(tmp_path / "test" / "x", 0, 1)
    config = small_config(tmp_path)
    for id_sampling, count in ((False, 12), (True, 6)):
        config.dataset_params.id_sampling = id_sampling
        sizes = {"batch_size": 2, "num_repeats": 1}
        epochs = []
        for epoch in range(2):
            start = epoch * open_dataset(config).steps_per_epoch(**sizes)
            hosts = [
                [
                    batch["name"][0].split("#")[0] if id_sampling else batch["name"][0]
                    for batch in batches_of(
                        open_dataset(config), count // 2, **sizes, start_step=start,
                        process_index=index, process_count=2,
                    )
                ]
                for index in range(2)
            ]  # fmt: skip
            assert not set(hosts[0]) & set(hosts[1])
            assert len(set(hosts[0] + hosts[1])) == len(hosts[0] + hosts[1]) == count
            epochs.append(hosts)
        assert epochs[0] != epochs[1]


def test_identities_are_drawn_alike_and_their_clips_too(tmp_path: Path) -> None:
    for name in ("a#0", "a#1", "a#2", "b#0"):
        write_folder(tmp_path / "train" / name, 0, 1)
    write_folder(tmp_path / "test" / "x", 0, 1)
    config = small_config(tmp_path)
    config.dataset_params.id_sampling = True
    dataset = open_dataset(config)
    assert dataset.describe() == f"{tmp_path}: folder of clips, 4 clips, 2 identities"
    batches = batches_of(dataset, 150, batch_size=4, num_repeats=300)  # an epoch
    counts = Counter(name for batch in batches for name in batch["name"])
    assert counts["b#0"] == 300
    assert all(70 < counts[f"a#{number}"] < 130 for number in range(3))  # 4 standard deviations


def test_hosts_can_tell_whether_they_see_the_same(root: Path) -> None:
    print_before = open_dataset(small_config(root)).fingerprint()
    assert print_before == open_dataset(small_config(root)).fingerprint()
    assert 0 <= print_before < 2**31
    (root / "train" / "clip0").rename(root / "train" / "clip9")
    assert print_before != open_dataset(small_config(root)).fingerprint()


def test_seeds_differ(root: Path) -> None:
    dataset = open_dataset(small_config(root))
    names = [[b["name"] for b in batches_of(dataset, 5, seed=seed)] for seed in (1, 2)]
    assert names[0] != names[1]
