"""The last step: joins the index, and writes TensorFlow Datasets' own files."""

import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from data.pipeline import import_tensorflow
from data.prepare.disk import cannot_write, write_atomically
from data.prepare.features import VERSION, clip_features, import_tfds
from data.prepare.layout import BROKEN, INFO, UNFINISHED, clips_file, frames_file
from data.prepare.settings import Settings
from data.prepare.shards import Shard, read_part
from data.prepare.sources import KINDS
from tpsm_jax.errors import InputError


def write_report(root: Path, shards: list[Shard]) -> int:
    """Writes broken.json: the clips left out and the truncated ones, by split and name.

    Returns:
      The number of clips left out.

    Raises:
      InputError: it cannot be written.
    """
    report: dict[str, list[dict[str, Any]]] = {"broken": [], "short": []}
    for shard in shards:
        part = _part(shard)
        for key, listed in report.items():
            listed += [{"split": shard.split, **entry} for entry in part[key]]
    for listed in report.values():
        listed.sort(key=lambda entry: (entry["split"], entry["name"]))
    write_atomically(root / BROKEN, (json.dumps(report, indent=1) + "\n").encode())
    return len(report["broken"])


def count_squeezed(shards: list[Shard]) -> int:
    """The number of clips whose frames lost their proportions."""
    # Shards that an older version wrote say nothing about it.
    return sum(_part(shard).get("squeezed", 0) for shard in shards)


def finish(root: Path, settings: Settings, shards: list[Shard]) -> None:
    """Writes the index, then TensorFlow Datasets' files, then deletes the unfinished work.

    It can be repeated after a kill at any moment.

    Args:
      root: folder of the prepared data set.
      settings: settings of the run.
      shards: all shards, finished.

    Raises:
      InputError: all clips of a split are broken, or something cannot be written.
    """
    lengths: dict[str, list[int]] = {}
    sizes: dict[str, int] = {}
    for split in settings.splits:
        parts = [(shard.file, _part(shard)) for shard in shards if shard.split == split]
        lengths[split] = [len(part["clips"]) for _, part in parts]
        sizes[split] = sum(part["bytes"] for _, part in parts)
        if not any(lengths[split]):
            raise InputError(f"no clip of {split} can be read: {root / BROKEN} says why")
        _write_index(root, split, parts)
    _write_metadata(root, settings, lengths, sizes)
    shutil.rmtree(root / UNFINISHED)


def _write_index(root: Path, split: str, parts: list[tuple[str, dict[str, Any]]]) -> None:
    clips, tables, first = [], [], 0
    for number, (_, part) in enumerate(parts):
        tables.append(part["frames"])
        for entry in part["clips"]:
            clips.append({**entry, "shard": number, "first_frame": first})
            first += entry["num_frames"]
    table = io.BytesIO()
    np.save(table, np.concatenate(tables))
    write_atomically(frames_file(root, split), table.getvalue())

    clips.sort(key=lambda entry: entry["name"])
    shards = [{"file": file, "bytes": part["bytes"]} for file, part in parts]
    lines = ",\n".join(map(json.dumps, clips))
    listing = f'{{"shards": {json.dumps(shards)},\n"clips": [\n{lines}\n]}}\n'
    write_atomically(clips_file(root, split), listing.encode())


def _write_metadata(
    root: Path, settings: Settings, lengths: dict[str, list[int]], sizes: dict[str, int]
) -> None:
    tfds = import_tfds()
    from tensorflow_datasets.core.dataset_info import DatasetIdentity
    from tensorflow_datasets.core.naming import ShardedFileTemplate

    folder = root / UNFINISHED / "metadata"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    info = tfds.core.DatasetInfo(
        builder=DatasetIdentity(
            name=settings.dataset,
            version=tfds.core.Version(VERSION),
            data_dir=os.fspath(folder),
            module_name="",
        ),
        description=f"Clips of {KINDS[settings.dataset].title}.",
        features=clip_features(settings.encoding.format),
    )
    info.set_file_format("tfrecord")
    template = ShardedFileTemplate(
        data_dir=folder, dataset_name=settings.dataset, filetype_suffix="tfrecord"
    )
    info.set_splits(
        tfds.core.SplitDict(
            [
                tfds.core.SplitInfo(
                    name=split,
                    shard_lengths=lengths[split],
                    num_bytes=sizes[split],
                    filename_template=template.replace(split=split),
                )
                for split in lengths
            ]
        )
    )
    try:
        info.write_to_directory(folder)
    except (OSError, import_tensorflow().errors.OpError) as error:
        raise cannot_write(root / INFO, " ".join(str(error).split())) from None
    # The file that marks the data set as finished comes last.
    for file in sorted(folder.iterdir(), key=lambda path: path.name == INFO):
        os.replace(file, root / file.name)


def _part(shard: Shard) -> dict[str, Any]:
    part = read_part(shard)
    if part is None:
        raise InputError(f"{shard.part} is damaged: delete it, and run the same command again")
    return part
