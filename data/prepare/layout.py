"""The names of the files of a prepared data set, and the fields of its index.

A prepared data set is a folder of TensorFlow Datasets whose examples are whole clips, plus an index
of the places of all encoded frames. docs/data.md describes it.
"""

from pathlib import Path

import numpy as np

SETTINGS = "prepared.json"  # the settings, written first
INFO = "dataset_info.json"  # TensorFlow Datasets' own, written last: the data set is finished
BROKEN = "broken.json"
UNFINISHED = "unfinished"  # a folder that exists while the data set is being made
FORMAT_VERSION = 1

# The place of a frame in its record file, and the CRC-32 of its bytes.
FRAME = np.dtype([("offset", "<u8"), ("length", "<u4"), ("crc32", "<u4")])


def clips_file(root: Path, split: str) -> Path:
    """The path of the list of a split's clips."""
    return root / f"clips-{split}.json"


def frames_file(root: Path, split: str) -> Path:
    """The path of the table of a split's frames, one `FRAME` each, in the order of the files."""
    return root / f"frames-{split}.npy"


def record_file(name: str, split: str, shard: int, shards: int) -> str:
    """The name that TensorFlow Datasets gives to a record file.

    Args:
      name: the data set's name, in lower case, without '-'.
      split: 'train' or 'test'.
      shard: number of the file, from 0 up.
      shards: number of files.
    """
    return f"{name}-{split}.tfrecord-{shard:05d}-of-{shards:05d}"
