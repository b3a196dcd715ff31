"""A prepared data set reads like the folder it was made from, and memory does not grow."""

import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from data.loader import open_dataset
from tests.helpers.clip_files import (
    read_clips,
    small_config,
    write_data_set,
    write_folder,
    write_video,
)
from tests.helpers.paths import ROOT
from tests.helpers.prepare_files import prepare

# Reads some steps three times, and prints the resident memory after each time.
RESIDENT = """
import sys
from itertools import islice
import psutil
from data.loader import open_dataset
from tests.helpers.clip_files import small_config

config = small_config(sys.argv[1])
config.image_size = (64, 64)
dataset = open_dataset(config)
with dataset.batches(batch_size=8, num_repeats=50, seed=0, workers=2) as batches:
    for steps in (100, 150, 150):
        for _ in islice(batches, steps):
            pass
        print(psutil.Process().memory_info().rss / 2**20)
"""

FEW_HEAPS = {"GLIBC_TUNABLES": "glibc.malloc.arena_max=2:glibc.malloc.mmap_threshold=65536"}


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of clips, and the same clips prepared."""
    folder = tmp_path_factory.mktemp("reading")
    write_data_set(folder / "raw")
    write_folder(folder / "raw" / "train" / "clip7#a b ü", 7, 4)
    with pytest.MonkeyPatch.context() as patch:
        assert prepare(patch, folder / "raw", folder / "prepared", "--format", "png") == 0
    return folder / "raw", folder / "prepared"


@pytest.mark.slow
@pytest.mark.parametrize("id_sampling", [False, True])
def test_batches_of_a_prepared_data_set_are_those_of_its_folder(
    roots: tuple[Path, Path], id_sampling: bool
) -> None:
    read = []
    for root in roots:
        config = small_config(root)
        config.dataset_params.id_sampling = id_sampling
        with open_dataset(config).batches(batch_size=4, num_repeats=3, seed=1) as batches:
            read.append(list(islice(batches, 12)))
    for one, other in zip(*read, strict=True):
        assert one["name"] == other["name"]
        for key in ("source", "driving"):
            np.testing.assert_array_equal(one[key], other[key])


@pytest.mark.slow
def test_whole_clips_of_a_prepared_data_set_are_those_of_its_folder(
    roots: tuple[Path, Path],
) -> None:
    read = [
        {name: np.stack(list(frames)) for name, frames in read_clips(small_config(root))}
        for root in roots
    ]
    assert list(read[0]) == list(read[1]) == ["clip3", "clip4"]
    for name, frames in read[0].items():
        np.testing.assert_array_equal(frames, read[1][name])


@pytest.mark.slow
def test_a_prepared_data_set_and_a_folder_mix(roots: tuple[Path, Path]) -> None:
    raw, prepared = roots
    config = small_config(prepared)
    config.dataset.mix_paths = (str(raw),)
    config.dataset.mix_weights = (3, 1)
    dataset = open_dataset(config)
    assert dataset.describe().splitlines() == [
        f"{prepared}: prepared data set, 4 clips, 75.0% of the samples",
        f"{raw}: folder of clips, 4 clips, 25.0% of the samples",
    ]
    with dataset.batches(batch_size=4, num_repeats=3, seed=1) as batches:
        names = [name for batch in islice(batches, 16) for name in batch["name"]]
    assert sorted(names) == sorted(16 * ["clip0", "clip1", "clip2", "clip7#a b ü"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [*(pytest.param(k, marks=pytest.mark.long) for k in ("video", "prepared")), "folder"]
)
def test_the_resident_memory_does_not_grow(
    roots: tuple[Path, Path], tmp_path: Path, kind: str
) -> None:
    """It reads 2,400 samples, 59 MiB of pictures, and may grow by 8 MiB.

    glibc keeps a heap per thread. Together they grow by up to 30 MiB in the first 400 steps and not
    after that (measured over 2,000). With two heaps, and large blocks outside of them, resident
    memory is memory in use.
    """
    root = roots[1] if kind == "prepared" else tmp_path
    for number in range(0 if kind == "prepared" else 6):
        path = root / ("test" if number == 5 else "train") / f"clip{number}"
        if kind == "folder":
            write_folder(path, number, 5, size=64)
        else:
            write_video(path.with_suffix(".mp4"), number, 5, size=64)
    done = subprocess.run(
        [sys.executable, "-c", RESIDENT, str(root)],
        cwd=ROOT, capture_output=True, text=True, check=True, env={**os.environ, **FEW_HEAPS},
    )  # fmt: skip
    warm, later, last = map(float, done.stdout.split())
    assert last - warm < 8, (warm, later, last)
