"""Small PyTorch files put together byte by byte, for what PyTorch itself would not write."""

import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C


def flatten(tree: Any, path: str = "") -> dict[str, np.ndarray]:
    """Arrays of nested dicts, lists and tuples by their path, as "types/int8"."""
    if isinstance(tree, np.ndarray):
        return {path: tree}
    found: dict[str, np.ndarray] = {}
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in items:
        if isinstance(value, (np.ndarray, dict, list, tuple)):
            found |= flatten(value, f"{path}/{key}".lstrip("/"))
    return found


def write_zip(path: Path, records: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """A zip archive of these records."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in records.items():
            archive.writestr(name, data)
    return path


def read_zip(path: Path) -> dict[str, bytes]:
    """The records of a zip archive."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def add_objects(path: Path, new: Path, objects: dict[str, Any]) -> Path:
    """Writes a zip file of a dictionary again, with more entries: objects that Python pickles."""
    records = read_zip(path)
    name = next(name for name in records if name.endswith("data.pkl"))
    items = [_value(key) + pickle.dumps(value, 2)[2:-1] + b"s" for key, value in objects.items()]
    records[name] = records[name].removesuffix(b".") + b"".join(items) + b"."
    return write_zip(new, records)


def write_legacy(path: Path, objects: bytes, keys: list[str], storages: list[bytes]) -> Path:
    """A file of the old format; `objects` is its fourth pickle, `storages` include their sizes."""
    stream = io.BytesIO()
    for value in (MAGIC, 1001, {"protocol_version": 1001, "little_endian": True}):
        pickle.dump(value, stream, protocol=2)
    stream.write(objects)
    pickle.dump(keys, stream, protocol=2)
    stream.write(b"".join(storages))
    path.write_bytes(stream.getvalue())
    return path


def pickle_of_tensor(
    key: str = "0",
    numel: int = 4,
    offset: int = 0,
    shape: tuple[int, ...] = (2, 2),
    strides: tuple[int, ...] = (2, 1),
    view: Any = (),
    metadata: Any = (),
) -> bytes:
    """The pickle of one float32 tensor; `view` (a tuple of one) is the old format's."""
    storage = [b"(", _value("storage"), b"ctorch\nFloatStorage\n"]
    storage += [_value(part) for part in (key, "cpu", numel, *view)] + [b"tQ"]
    call = [b"ctorch._utils\n_rebuild_tensor_v2\n("]
    arguments = [_value(part) for part in (offset, shape, strides, False)]
    hooks = [b"ccollections\nOrderedDict\n)R", *map(_value, metadata)]
    return b"".join([b"\x80\x02", *call, *storage, *arguments, *hooks, b"tR."])


def _value(value: Any) -> bytes:
    """A value as a piece of a pickle: without its header and its end, and without memoising."""
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value)) + value.encode()
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_value, value)) + b"t"
    return pickle.dumps(value, protocol=2)[2:-1]
