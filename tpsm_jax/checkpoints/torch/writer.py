"""Writing files that `torch.load` reads, without PyTorch.

The format is the zip that `tpsm_jax.checkpoints.torch.reader` describes. The pickle is assembled
from single instructions, because Python's pickler insists on importing what it refers to.
"""

import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tpsm_jax.checkpoints.torch.records import STORAGE_DTYPES
from tpsm_jax.errors import InputError, writing
from tpsm_jax.runtime.atomic_files import replaced

_STORAGE_NAMES = {dtype: name for name, dtype in STORAGE_DTYPES.items()}
# Storages start at multiples of this, as in torch's own files, so that they can be mapped.
_ALIGNMENT = 64
_ZIP_HEADER = 30  # bytes before a record's name


def write_torch_file(path: str | Path, tree: Any) -> None:
    """Writes a file that `torch.load(path, weights_only=True)` reads.

    The file appears when it is complete; an older one stays until then.

    Args:
      path: path of the file; missing folders are made.
      tree: nested dicts, lists and tuples of NumPy or JAX arrays, which become tensors, and of
        plain Python values. An OrderedDict stays one.

    Raises:
      InputError: if it cannot be written there.
      TypeError: if something in `tree` has no counterpart in PyTorch.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the name of a file")
    pickler = _Pickler()
    data = pickler.dump(tree)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as partial:
            _write_archive(partial, data, pickler.storages)


def _write_archive(path: Path, data: bytes, storages: list[np.ndarray]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        _write_record(archive, "archive/data.pkl", data)
        _write_record(archive, "archive/byteorder", b"little")
        for key, storage in enumerate(storages):
            _write_record(archive, f"archive/data/{key}", storage.tobytes())
        _write_record(archive, "archive/version", b"3\n")


def _write_record(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name)
    assert archive.fp is not None
    header = archive.fp.tell() + _ZIP_HEADER + len(name) + 4
    padding = -header % _ALIGNMENT
    # Torch's own files have this extra field too: two letters, its length, and filling.
    info.extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding
    archive.writestr(info, data)


class _Pickler:
    """Emits protocol 2, which torch writes too, and collects the storages it refers to."""

    def __init__(self) -> None:
        self.storages: list[np.ndarray] = []
        self._parts: list[bytes] = []

    def dump(self, tree: Any) -> bytes:
        self._parts = [pickle.PROTO, b"\x02"]
        self._value(tree)
        return b"".join([*self._parts, pickle.STOP])

    def _emit(self, *parts: bytes) -> None:
        self._parts.extend(parts)

    def _value(self, value: Any) -> None:
        if isinstance(value, np.generic):
            value = value.item()
        if value is None:
            self._emit(pickle.NONE)
        elif isinstance(value, bool):
            self._emit(pickle.NEWTRUE if value else pickle.NEWFALSE)
        elif isinstance(value, int):
            self._int(value)
        elif isinstance(value, float):
            self._emit(pickle.BINFLOAT, struct.pack(">d", value))
        elif isinstance(value, str):
            encoded = value.encode("utf-8")
            self._emit(pickle.BINUNICODE, struct.pack("<I", len(encoded)), encoded)
        elif isinstance(value, tuple):
            self._emit(pickle.MARK)
            self._values(value)
            self._emit(pickle.TUPLE)
        elif isinstance(value, list):
            self._emit(pickle.EMPTY_LIST, pickle.MARK)
            self._values(value)
            self._emit(pickle.APPENDS)
        elif isinstance(value, Mapping):
            self._mapping(value)
        elif hasattr(value, "__array__"):
            self._tensor(np.asarray(value))
        else:
            raise TypeError(f"a {type(value).__name__} has no place in a PyTorch file")

    def _values(self, values: Any) -> None:
        for value in values:
            self._value(value)

    def _int(self, value: int) -> None:
        if -(2**31) <= value < 2**31:
            self._emit(pickle.BININT, struct.pack("<i", value))
        else:
            encoded = pickle.encode_long(value)
            self._emit(pickle.LONG1, struct.pack("<B", len(encoded)), encoded)

    def _global(self, module: str, name: str) -> None:
        self._emit(pickle.GLOBAL, f"{module}\n{name}\n".encode("ascii"))

    def _mapping(self, mapping: Mapping[Any, Any]) -> None:
        if isinstance(mapping, OrderedDict):
            self._global("collections", "OrderedDict")
            self._emit(pickle.EMPTY_TUPLE, pickle.REDUCE)
        else:
            self._emit(pickle.EMPTY_DICT)
        self._emit(pickle.MARK)
        for key, value in mapping.items():
            self._value(key)
            self._value(value)
        self._emit(pickle.SETITEMS)

    def _tensor(self, array: np.ndarray) -> None:
        """Emits the call that makes a tensor from a storage, an offset and a shape."""
        name = _STORAGE_NAMES.get(array.dtype.name)
        if name is None:
            raise TypeError(f"PyTorch has no storage for {array.dtype} arrays")
        self._global("torch._utils", "_rebuild_tensor_v2")
        self._emit(pickle.MARK, pickle.MARK)
        self._value("storage")
        self._global("torch", name)
        self._values((str(len(self.storages)), "cpu", array.size))
        self._emit(pickle.TUPLE, pickle.BINPERSID)
        strides = [int(np.prod(array.shape[axis + 1 :])) for axis in range(array.ndim)]
        self._values((0, array.shape, tuple(strides), False, OrderedDict()))
        self._emit(pickle.TUPLE, pickle.REDUCE)
        little = array.dtype.newbyteorder("<") if array.dtype.kind in "iuf" else array.dtype
        self.storages.append(array.astype(little, copy=False))
