"""How reading ends: by errors in their place, and with no thread left."""

import gc
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from ml_collections import ConfigDict

from data.clips import FolderClip
from data.loader import open_dataset
from tests.helpers.clip_files import small_config
from tests.helpers.loader_batches import assert_equal, batches_of, record_samples
from tests.helpers.waiting import wait_until
from tpsm_jax.errors import InputError


def test_the_batch_must_divide_and_fit(root: Path) -> None:
    dataset = open_dataset(small_config(root))
    assert dataset.steps_per_epoch(batch_size=4, num_repeats=7) == 5
    with pytest.raises(InputError, match="batches of 22 from an epoch of 21 samples"):
        dataset.steps_per_epoch(batch_size=22, num_repeats=7)
    with pytest.raises(InputError, match="batches of 22 from an epoch of 21 samples"):
        batches_of(dataset, 1, batch_size=22)
    with pytest.raises(InputError, match="batch_size 5 does not divide among 2 processes"):
        batches_of(dataset, 1, batch_size=5, process_count=2)


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


@pytest.mark.slow
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
