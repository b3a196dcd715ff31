"""Batches hold the right frames, in one order whatever the threads do, from any step on."""

import gc
import time
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from data.clips import FolderClip
from data.loader import ClipDataset, open_dataset
from data.resize_crop import ResizeCrop
from data.sampling import SampleOrder
from tests.helpers.clip_files import (
    SIZE,
    label,
    read_clips,
    small_config,
    write_data_set,
    write_folder,
    write_video,
)
from tests.helpers.waiting import wait_until
from tpsm_jax.errors import InputError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_data_set(tmp_path)
    return tmp_path


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

    def recorded(self: ClipDataset, order: SampleOrder, sample: int) -> Any:
        numbers.append(sample)
        return read(self, order, sample)

    monkeypatch.setattr(ClipDataset, "_read", recorded)
    return numbers


# ---------------------------------------------------------------- what is in a batch


def test_a_batch_holds_what_the_order_says(root: Path) -> None:
    dataset = open_dataset(small_config(root))
    order = SampleOrder(seed=1, num_entries=3, num_repeats=7, batch_size=4)
    frames = [3, 5, 1]
    for step, batch in enumerate(batches_of(dataset, 12)):  # beyond an epoch of 5 steps
        assert sorted(batch) == ["driving", "name", "source"]
        for key in ("source", "driving"):
            assert batch[key].shape == (4, SIZE, SIZE, 3)
            assert batch[key].dtype == np.uint8
        for row in range(4):
            sample = 4 * step + row
            clip, draws = order.entry(sample), order.draws(sample)
            assert batch["name"][row] == f"clip{clip}"
            expected = sorted(int(draw * frames[clip]) for draw in draws.frames)
            for key, index in zip(("source", "driving"), expected, strict=True):
                assert label(batch[key][row]) == (clip, index)


def test_every_pair_of_frames_comes_in_time_order(root: Path) -> None:
    pairs = {
        (label(source), label(driving))
        for batch in batches_of(open_dataset(small_config(root)), 60)
        for source, driving in zip(batch["source"], batch["driving"], strict=True)
    }
    expected = {
        ((clip, first), (clip, second))
        for clip, count in enumerate((3, 5, 1))
        for second in range(count)
        for first in range(second + 1)
    }
    assert pairs == expected


def test_identities_are_sampled_evenly_and_their_clips_too(tmp_path: Path) -> None:
    for clip, name in enumerate(("a#0", "a#1", "a#2", "b#3")):
        write_folder(tmp_path / "train" / name, clip, 1)
    write_folder(tmp_path / "test" / "c#0", 4, 1)
    write_folder(tmp_path / "test" / "c#1", 5, 1)
    config = small_config(tmp_path)
    config.dataset_params.id_sampling = True
    dataset = open_dataset(config)
    assert dataset.order(batch_size=1, num_repeats=7, seed=0).num_samples == 14
    names = [name for batch in batches_of(dataset, 35, num_repeats=2) for name in batch["name"]]
    assert names.count("b#3") == 70
    assert all(10 < names.count(f"a#{number}") < 40 for number in range(3))
    assert len(open_dataset(config, "test").entries) == 2  # clips, not identities


def test_frames_of_another_size_are_resized(tmp_path: Path) -> None:
    write_folder(tmp_path / "train" / "folder", 0, 3, size=40)
    write_video(tmp_path / "train" / "video.mp4", 1, 3)
    write_folder(tmp_path / "test" / "x", 0, 1)
    (batch,) = batches_of(open_dataset(small_config(tmp_path)), 1, batch_size=6)
    assert batch["source"].shape == (6, SIZE, SIZE, 3)
    clips = [label(source)[0] for source in batch["source"]]
    assert clips == [["folder", "video.mp4"].index(name) for name in batch["name"]]
    assert set(clips) == {0, 1}


def test_resize_and_crop_of_mgif(root: Path) -> None:
    config = small_config(root)
    config.dataset_params.augmentation_params = ConfigDict(
        {"resize_param": {"ratio": (0.5, 1.5)}, "crop_param": {"size": (SIZE, SIZE)}}
    )
    for path in sorted(root.glob("train/*/*.png")):
        noise = np.random.default_rng(len(str(path))).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
        Image.fromarray(noise).save(path)
    dataset = open_dataset(config)
    order = SampleOrder(seed=1, num_entries=3, num_repeats=7, batch_size=4)
    transform = ResizeCrop((0.5, 1.5), (SIZE, SIZE))
    (batch,) = batches_of(dataset, 1)
    for row in range(4):
        draws = order.draws(row)
        pair = np.stack(dataset.entries[order.entry(row)][0].pair(*draws.frames))
        expected = transform(pair, draws)
        assert (expected != pair).any()
        np.testing.assert_array_equal(batch["source"][row], expected[0])
        np.testing.assert_array_equal(batch["driving"][row], expected[1])


# ---------------------------------------------------------------- order, resuming, processes


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


def test_the_batch_must_divide_and_fit(root: Path) -> None:
    dataset = open_dataset(small_config(root))
    assert dataset.steps_per_epoch(batch_size=4, num_repeats=7) == 5
    with pytest.raises(InputError, match="batches of 22 from an epoch of 21 samples"):
        dataset.steps_per_epoch(batch_size=22, num_repeats=7)
    with pytest.raises(InputError, match="batches of 22 from an epoch of 21 samples"):
        batches_of(dataset, 1, batch_size=22)
    with pytest.raises(InputError, match="batch_size 5 does not divide among 2 processes"):
        batches_of(dataset, 1, batch_size=5, process_count=2)


# ---------------------------------------------------------------- errors, and the end


def test_an_unreadable_frame_is_reported_in_the_place_of_its_batch(root: Path) -> None:
    dataset = open_dataset(small_config(root))
    good = batches_of(dataset, 40, batch_size=1)
    clips = [batch["name"][0] for batch in good]
    start = next(step for step in range(40) if "clip2" not in clips[step : step + 2])
    bad = clips.index("clip2", start)
    (root / "train" / "clip2" / "0000.png").write_bytes(b"not a picture")
    batches = dataset.batches(batch_size=1, num_repeats=7, seed=1, start_step=start)
    assert_equal(list(islice(batches, bad - start)), good[start:bad])
    with pytest.raises(InputError, match="cannot read the picture .*clip2/0000.png") as raised:
        next(batches)
    assert "\n" not in str(raised.value)
    with pytest.raises(StopIteration):
        next(batches)


def test_any_other_error_comes_out_as_it_is(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(FolderClip, "pair", broken)
    with pytest.raises(ZeroDivisionError, match="a mistake of ours"):
        batches_of(open_dataset(small_config(root)), 1)


def close(batches: list[Any]) -> None:
    batches[0].close()
    with pytest.raises(StopIteration):
        next(batches[0])


def let_go(batches: list[Any]) -> None:
    batches.clear()
    gc.collect()


@pytest.mark.parametrize("end", [close, let_go])
def test_the_threads_end(
    root: Path, monkeypatch: pytest.MonkeyPatch, end: Callable[[list[Any]], None]
) -> None:
    samples = record_samples(monkeypatch)
    # Too many to be read ahead: the threads are at work when the end comes.
    pair = FolderClip.pair
    monkeypatch.setattr(FolderClip, "pair", lambda *a: (time.sleep(0.02), pair(*a))[1])
    dataset = open_dataset(small_config(root))
    batches = [dataset.batches(batch_size=21, num_repeats=7, seed=1, workers=2)]
    next(batches[0])
    end(batches)
    count = len(samples)
    wait_until_steady(samples)
    assert len(samples) == count


def wait_until_steady(samples: list[int]) -> None:
    """Returns once none is added any more, for far longer than reading one takes."""
    seen = [-1] * 4

    def steady() -> bool:
        time.sleep(0.1)
        seen.append(len(samples))
        return len(set(seen[-4:])) == 1

    wait_until(steady)


def test_a_crop_of_another_size_is_reported(root: Path) -> None:
    config = small_config(root)
    config.dataset_params.augmentation_params = ConfigDict({"crop_param": {"size": 8}})
    with pytest.raises(InputError, match=r"crop_param.size \(8, 8\) is not image_size \(16, 16\)"):
        open_dataset(config)


def test_no_augmentation_at_all(root: Path) -> None:
    config = small_config(root)
    with config.unlocked():
        config.dataset_params.augmentation_params = None
    assert open_dataset(config).reader.resize_crop is None


# ---------------------------------------------------------------- whole clips


@pytest.mark.parametrize("split", ["train", "test"])
def test_whole_clips(root: Path, split: str) -> None:
    config = small_config(root)
    config.image_size = (12, 20)
    read = {name: list(frames) for name, frames in read_clips(config, split)}
    expected = (
        {"clip0": 3, "clip1": 5, "clip2": 1} if split == "train" else {"clip3": 4, "clip4": 2}
    )
    assert {name: len(frames) for name, frames in read.items()} == expected
    for name, frames in read.items():
        for index, picture in enumerate(frames):
            assert picture.shape == (12, 20, 3)
            assert picture.dtype == np.uint8
            assert label(picture) == (int(name[-1]), index)
