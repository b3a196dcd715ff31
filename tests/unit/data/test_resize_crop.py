"""MGif's resize and crop, compared with the official code and by their own rules."""

import numpy as np
import pytest
from ml_collections import ConfigDict

from data.resize_crop import ResizeCrop, crop
from data.sampling import SampleDraws, SampleOrder
from tests.helpers.paths import GOLDEN
from tpsm_jax.errors import InputError

ARRAYS = dict(np.load(GOLDEN / "resize_crop.npz"))
CASES = sorted(key.removesuffix("_in") for key in ARRAYS if key.endswith("_in"))


def draws(*, scale: float = 0.0, across: float = 0.0, down: float = 0.0) -> SampleDraws:
    return SampleDraws(clip=0.0, frames=(0.0, 0.0), resize=scale, crop=(across, down))


@pytest.mark.parametrize("name", CASES)
def test_equals_the_official_code(name: str) -> None:
    expected = ARRAYS[f"{name}_out"]
    ratio = tuple(ARRAYS[f"{name}_ratio"].tolist()) or None
    scale, position = ARRAYS[f"{name}_draws"].tolist()
    transform = ResizeCrop(ratio, expected.shape[1:3])
    made = transform(ARRAYS[f"{name}_in"], draws(scale=scale, across=position, down=position))
    assert made.dtype == np.uint8
    np.testing.assert_array_equal(made, expected)


def test_every_position_is_reached_and_none_beyond() -> None:
    """Draws of a real order put the crop of a larger frame everywhere, corners included."""
    rows, columns = np.indices((6, 7))
    frames = np.repeat((10 * rows + columns)[None, ..., None], 3, axis=3).astype(np.uint8)
    order = SampleOrder(seed=0, num_entries=1, num_repeats=1, batch_size=1)
    corners = set()
    for sample in range(200):
        part = crop(frames, (4, 4), order.draws(sample).crop)
        assert part.shape == (1, 4, 4, 3)
        corners.add(int(part[0, 0, 0, 0]))
    assert corners == {10 * row + column for row in range(3) for column in range(4)}


def test_frames_of_a_pair_are_treated_alike() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    made = ResizeCrop((0.9, 1.1), (20, 20))(np.stack([frame, frame]), draws(scale=0.9, across=0.7))
    np.testing.assert_array_equal(made[0], made[1])


def params(**entries: dict) -> ConfigDict:
    return ConfigDict({"flip_param": {}, "jitter_param": {}} | entries)


def test_reads_the_section() -> None:
    assert ResizeCrop.from_config(params()) is None
    assert ResizeCrop.from_config(None) is None
    both = params(resize_param={"ratio": (0.9, 1.1)}, crop_param={"size": (64, 48)})
    assert ResizeCrop.from_config(both) == ResizeCrop((0.9, 1.1), (64, 48))
    assert ResizeCrop.from_config(params(crop_param={"size": 64})) == ResizeCrop(None, (64, 64))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"resize_param": {"ratio": (0.9, 1.1)}}, "resize_param also needs a crop_param"),
        ({"rotation_param": {"degrees": 5}}, "unknown entry 'rotation_param'"),
    ],
)
def test_refuses_what_it_cannot_do(entries: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ResizeCrop.from_config(params(**entries))
