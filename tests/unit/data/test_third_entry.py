"""A third array of a sample is read in one place, and passes through to the devices."""

import dataclasses
from itertools import islice
from pathlib import Path

import jax
import numpy as np
import pytest

from data.clip import Clip
from data.loader import ClipDataset, open_dataset
from data.sample_reader import ArraySpec, Sample, SampleReader
from data.sampling import SampleDraws
from tests.helpers.clip_files import SIZE, label, small_config, write_data_set, write_folder
from tpsm_jax.errors import InputError
from tpsm_jax.parallel.sharding import batch_sharding, device_batches, make_mesh


class ReaderWithMask(SampleReader):
    """Adds the mask of the driving frame, and four numbers: all that a new entry takes here."""

    @property
    def spec(self) -> dict[str, ArraySpec]:
        mask = ArraySpec((*self.image_size, 1), np.dtype(bool))
        return {**super().spec, "mask": mask, "point": ArraySpec((2,), np.dtype(np.float32))}

    def __call__(self, clip: Clip, draws: SampleDraws) -> Sample:
        sample = super().__call__(clip, draws)
        mask = sample["driving"][..., :1] > 20 * int(clip.name[-1])
        return {**sample, "mask": mask, "point": np.float32(draws.frames)}


@pytest.fixture
def dataset(tmp_path: Path) -> ClipDataset:
    write_data_set(tmp_path / "a")
    write_folder(tmp_path / "b" / "train" / "clip5", 5, 2)
    write_folder(tmp_path / "b" / "test" / "clip6", 6, 2)
    config = small_config(tmp_path / "a")
    config.dataset.mix_paths = (str(tmp_path / "b"),)
    config.dataset.mix_weights = (1, 1)
    return dataclasses.replace(open_dataset(config), reader=ReaderWithMask((SIZE, SIZE)))


def test_a_third_entry_reaches_the_devices(dataset: ClipDataset) -> None:
    sizes = {"batch_size": 4, "num_repeats": 7, "seed": 1}
    order = dataset.order(**sizes)
    mesh = make_mesh(jax.devices()[:4])
    with dataset.batches(**sizes) as batches:
        arriving = list(islice(device_batches(batches, mesh), 3))
    for step, (batch, names) in enumerate(arriving):
        assert sorted(batch) == ["driving", "mask", "point", "source"]
        assert {key: (value.shape, value.dtype) for key, value in batch.items()} == {
            "source": ((4, SIZE, SIZE, 3), np.uint8),
            "driving": ((4, SIZE, SIZE, 3), np.uint8),
            "mask": ((4, SIZE, SIZE, 1), bool),
            "point": ((4, 2), np.float32),
        }
        assert {value.sharding for value in batch.values()} == {batch_sharding(mesh)}
        for row, name in enumerate(names):
            assert label(np.asarray(batch["driving"][row]))[0] == int(name[-1])
            assert batch["mask"][row].all()
            draws = order.draws(4 * step + row)
            np.testing.assert_array_equal(batch["point"][row], np.float32(draws.frames))


class Undeclared(SampleReader):
    """Reads an array that it does not declare."""

    def __call__(self, clip: Clip, draws: SampleDraws) -> Sample:
        return {**super().__call__(clip, draws), "mask": np.zeros(1)}


class Misdeclared(SampleReader):
    """Reads arrays of another size than it declares."""

    @property
    def spec(self) -> dict[str, ArraySpec]:
        return {key: ArraySpec((1, 1, 3), array.dtype) for key, array in super().spec.items()}


@pytest.mark.parametrize("reader", [Undeclared, Misdeclared])
def test_a_sample_other_than_declared_is_refused(
    dataset: ClipDataset, reader: type[SampleReader]
) -> None:
    dataset = dataclasses.replace(dataset, reader=reader((SIZE, SIZE)))
    with (
        dataset.batches(batch_size=4, num_repeats=7, seed=1) as batches,
        pytest.raises(ValueError, match=r"sample \d+ holds .* is declared") as raised,
    ):
        next(batches)
    assert not isinstance(raised.value, InputError)
