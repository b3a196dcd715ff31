"""What a prepared data set consists of: the names of its files and the fields of its index.

A prepared data set is a folder as TensorFlow Datasets makes them, in which an example is a whole
clip, and beside it an index that says where each encoded frame lies. docs/data.md describes it.
"""

from pathlib import Path

import numpy as np

SETTINGS = "prepared.json"  # written first: how the data set is made
INFO = "dataset_info.json"  # written last, TensorFlow Datasets' own: it is finished
BROKEN = "broken.json"
UNFINISHED = "unfinished"  # a folder, while the data set is being made
FORMAT_VERSION = 1

# Where a frame lies in its record file, and the CRC-32 of its bytes.
FRAME = np.dtype([("offset", "<u8"), ("length", "<u4"), ("crc32", "<u4")])


def clips_file(root: Path, split: str) -> Path:
    """The list of a split's clips."""
    return root / f"clips-{split}.json"


def frames_file(root: Path, split: str) -> Path:
    """The table of a split's frames, one `FRAME` each, record file after record file."""
    return root / f"frames-{split}.npy"


def record_file(name: str, split: str, shard: int, shards: int) -> str:
    """The name that TensorFlow Datasets gives to a record file.

    Args:
      name: of the data set, in small letters, without '-'.
      split: 'train' or 'test'.
      shard: number of the file, from 0 up.
      shards: how many there are.
    """
    return f"{name}-{split}.tfrecord-{shard:05d}-of-{shards:05d}"
