"""Parts of the index that a killed preparation left, and that are damaged."""

import json
from pathlib import Path

import numpy as np
import pytest

from data.prepare.layout import FRAME
from data.prepare.shards import Shard, read_part
from data.prepare.workers import drop_shards_with_broken_clips

PART = {
    "clips": [{"name": "a", "num_frames": 2}],
    "frames": [[0, 5, 1], [5, 5, 2]],
    "broken": [],
    "short": [],
    "bytes": 10,
}


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    (tmp_path / "unfinished").mkdir()
    made = Shard(tmp_path, "train", "clips-train.tfrecord-00000-of-00001", ())
    made.part.write_text(json.dumps(PART))
    return made


def test_a_part(shard: Shard) -> None:
    part = read_part(shard)
    assert part is not None
    np.testing.assert_array_equal(part["frames"], np.array([(0, 5, 1), (5, 5, 2)], FRAME))
    drop_shards_with_broken_clips([shard])
    assert shard.part.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        *(
            json.dumps({**PART, **changed})
            for changed in (
                {"clips": [{"name": "a", "num_frames": 3}]},
                {"clips": [{"num_frames": 2}]},
                {"frames": [[0, 5], [5, 5]]},
                {"frames": [[0, 5, 1], [5, 5, 2**40]]},
                {"broken": 3},
                {"broken": ["a"]},
                {"bytes": "10"},
            )
        ),
    ],
)
def test_a_damaged_part_is_written_again(shard: Shard, text: str) -> None:
    shard.part.write_text(text)
    assert read_part(shard) is None
    drop_shards_with_broken_clips([shard])
    assert not shard.part.exists()
