"""Assigns clips to record files (shards), and writes one shard.

A shard is the unit of work. It is written under another name and renamed; then its part of the
index is written, which marks it as finished. Its bytes depend on its clips alone.
"""

import dataclasses
import functools
import hashlib
import json
import os
import uuid
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.clip import Clip
from data.pipeline import import_tensorflow
from data.prepare.boxes import BoxClip
from data.prepare.disk import cannot_write, write_atomically
from data.prepare.encoding import BrokenClip, Encoding, encode_clips
from data.prepare.features import clip_example, clip_features
from data.prepare.layout import FRAME, UNFINISHED, record_file
from tpsm_jax.errors import reason
from tpsm_jax.runtime.json_files import parse_json

# VoxCeleb gets a few hundred files of a few hundred MB; a small data set a few per worker.
CLIPS_A_SHARD = 64
LEAST_SHARDS = 16
_LISTS = ("clips", "broken", "short")  # of a part of the index
_HEADER, _FOOTER = 12, 4  # bytes around a record: its length and two checksums


@dataclasses.dataclass(frozen=True)
class Shard:
    """A record file to be written.

    Attributes:
      root: folder of the prepared data set.
      split: 'train' or 'test'.
      file: name of the record file.
      clips: its clips in order.
    """

    root: Path
    split: str
    file: str
    clips: tuple[Clip, ...]

    @property
    def part(self) -> Path:
        """The path of its part of the index, which exists once the shard is finished."""
        return self.root / UNFINISHED / f"{self.file}.json"


def read_part(shard: Shard) -> dict[str, Any] | None:
    """Reads a shard's part of the index.

    Returns:
      clips, broken and short as lists of dicts, bytes, and frames as an array of `FRAME`; None if
      there is no part or it is damaged, so that the shard must be written again.
    """
    try:
        part = parse_json(shard.part.read_text())
        # Lists of Python numbers for all shards would take ten times the memory.
        part["frames"] = np.array([tuple(frame) for frame in part["frames"]], FRAME)
        counts = [entry["num_frames"] for entry in part["clips"]]
        names = [entry["name"] for key in _LISTS for entry in part[key]]
        is_whole = sum(counts) == len(part["frames"]) and type(part["bytes"]) is int
        is_whole &= all(isinstance(name, str) for name in names)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None
    return part if is_whole else None


def plan_shards(root: Path, dataset: str, split: str, clips: Sequence[Clip]) -> list[Shard]:
    """Assigns the clips of a split to shards, by their names alone.

    Clips are ordered by digest, so that reading whole files yields a mixture. Clips cut from one
    video stay together, so that it is decoded once.

    Args:
      root: folder of the prepared data set.
      dataset: the data set's name.
      split: 'train' or 'test'.
      clips: the clips of the split, with distinct names.

    Returns:
      At least one shard, none of them empty.
    """
    in_order = sorted(clips, key=lambda clip: (_digest(clip), clip.name))
    count = max(-(-len(clips) // CLIPS_A_SHARD), min(len(clips), LEAST_SHARDS))
    bounds = [len(clips) * number // count for number in range(count + 1)]
    return [
        Shard(
            root,
            split,
            record_file(dataset, split, number, count),
            tuple(in_order[bounds[number] : bounds[number + 1]]),
        )
        for number in range(count)
    ]


def write_shard(shard: Shard, encoding: Encoding, on_clip: Callable[[], None]) -> None:
    """Writes the record file of a shard and its part of the index.

    Args:
      shard: the shard.
      encoding: encoding of the frames.
      on_clip: called after each clip.

    Raises:
      InputError: the disk is full, or the file cannot be written for another reason. Clips that
        cannot be read are listed in the part of the index.
    """
    tf = import_tensorflow()
    features = clip_features(encoding.format)
    serializer = _serializer(encoding.format)
    part: dict[str, Any] = {"clips": [], "frames": [], "broken": [], "short": [], "squeezed": 0}
    place = shard.root / shard.file
    temporary = shard.root / UNFINISHED / f"{shard.file}.{uuid.uuid4().hex[:8]}"
    size = 0
    try:
        with tf.io.TFRecordWriter(os.fspath(temporary)) as writer:
            for made in encode_clips(shard.clips, encoding):
                on_clip()
                if isinstance(made, BrokenClip):
                    part["broken"].append({"name": made.clip.name, "reason": made.reason})
                    continue
                fields = clip_example(made)
                example = serializer.get_tf_example(features.encode_example(fields))
                # Without it the order of the fields differs from process to process.
                record = example.SerializeToString(deterministic=True)
                writer.write(record)
                part["frames"] += _places(record, made.frames, size + _HEADER)
                part["clips"].append({key: fields[key] for key in fields if key != "frames"})
                part["squeezed"] += made.is_squeezed
                if made.is_short:
                    part["short"].append(
                        {
                            "name": made.clip.name,
                            "frames": len(made.frames),
                            "expected": made.expected,
                        }
                    )
                size += _HEADER + len(record) + _FOOTER
        if temporary.stat().st_size != size:
            raise cannot_write(place, "it is not as long as what was written")
        part["bytes"] = size
        os.replace(temporary, place)
        write_atomically(shard.part, (json.dumps(part) + "\n").encode())
    except tf.errors.OpError as error:
        raise cannot_write(place, error.message) from None
    except OSError as error:
        raise cannot_write(place, reason(error)) from None
    finally:
        temporary.unlink(missing_ok=True)


def _places(record: bytes, frames: list[bytes], start: int) -> list[tuple[int, int, int]]:
    # The record contains the bytes of the frames unchanged, one after the other.
    places, position = [], 0
    for frame in frames:
        position = record.index(frame, position)
        places.append((start + position, len(frame), zlib.crc32(frame)))
        position += len(frame)
    return places


@functools.cache
def _serializer(encoding_format: str) -> Any:
    from tensorflow_datasets.core.example_serializer import ExampleSerializer

    return ExampleSerializer(clip_features(encoding_format).get_serialized_info())


def _digest(clip: Clip) -> bytes:
    name = clip.path.name if isinstance(clip, BoxClip) else clip.name
    return hashlib.sha256(os.fsencode(name)).digest()
