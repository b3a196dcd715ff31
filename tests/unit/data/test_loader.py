"""Batches hold the right frames, at the size and with the augmentation of the config."""

from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from data.loader import open_dataset
from data.resize_crop import ResizeCrop
from data.sampling import SampleOrder
from tests.helpers.clip_files import (
    SIZE,
    label,
    read_clips,
    small_config,
    write_folder,
    write_video,
)
from tests.helpers.loader_batches import batches_of


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


def test_no_augmentation_at_all(root: Path) -> None:
    config = small_config(root)
    with config.unlocked():
        config.dataset_params.augmentation_params = None
    assert open_dataset(config).reader.resize_crop is None


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
