"""Reading files that `torch.save` wrote, without PyTorch.

Both formats hold a pickle that describes the objects, and separately the raw numbers:

- zip (PyTorch 1.6 and later): `NAME/data.pkl`, uncompressed `NAME/data/KEY` for each storage, and
  `NAME/byteorder`.
- legacy (before): five pickles in a row, namely a magic number, a protocol version, the
  machine's type sizes, the objects, and the keys of the storages; then for each key the number of
  elements (int64) and the elements, little-endian.

The file is mapped into memory, and tensors are views into it. So nothing is allocated because a
file claims to be large, and states of optimizers cost nothing unless they are used.
"""

import io
import mmap
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Literal, cast

import numpy as np

from tpsm_jax.checkpoints.torch.records import (
    Dictionary,
    Opaque,
    StorageRecord,
    StorageType,
    TensorRecord,
)
from tpsm_jax.checkpoints.torch.safetensors_file import is_safetensors, read_safetensors
from tpsm_jax.checkpoints.torch.unpickling import unpickle
from tpsm_jax.errors import InputError, shown

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_MAX_DEPTH = 64
_PACK_AGAIN = "pack that without compression, by `cd {} && zip -0 -r ../FILE.pth .`"

# First bytes of other formats, for a message that says what was given instead.
_OTHER_FORMATS = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF",
    b"\x1f\x8b": "a gzip archive: unpack it first",
    b"BZh": "a bzip2 archive: unpack it first",
    b"7z\xbc\xaf": "a 7z archive: unpack it first",
    b"Rar!": "a RAR archive: unpack it first",
    b"\x89HDF": "an HDF5 file",
    b"%PDF": "a PDF",
    b"version https://git-lfs": "a Git LFS pointer, not the file it points to",
}


def read_torch_file(path: str | Path) -> Any:
    """Reads a file that `torch.save` wrote, in either of its formats, or a safetensors file.

    Nothing in the file is executed. What a checkpoint of tensors does not need, such as the object
    of a scheduler, is read past.

    Args:
      path: path of the file, such as `vox.pth.tar` or `vgg19-dcbb9e9d.pth`.

    Returns:
      What was saved: nested dicts, lists and tuples of plain Python values, NumPy arrays in place
      of tensors, and `Opaque` in place of all else. Arrays are read-only and may be strided views
      of the mapped file; bfloat16 comes as float32.

    Raises:
      InputError: if the file is missing, cut short, corrupt, of another format, or asks for
        anything that is not allowed.
    """
    path = Path(path)
    buffer = _map(path)
    try:
        if is_safetensors(buffer[:9]):  # the first of these, as its length may begin as a pickle
            return read_safetensors(path)
        if buffer[:4] == b"PK\x03\x04":
            return _read_zip(path, buffer)
        if buffer[:1] == b"\x80":
            return _read_legacy(buffer)
        raise InputError(f"not a PyTorch file: it is {_guess_format(buffer)}")
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _map(path: Path) -> mmap.mmap:
    if path.is_dir():
        unpacked = any((place / "data.pkl").is_file() for place in (path, *_folders_in(path)))
        raise InputError(
            f"{path} is a folder, not a PyTorch file"
            + (f": it is an unpacked one; {_PACK_AGAIN.format(path)}" if unpacked else "")
        )
    if not path.exists():
        raise InputError(f"{path} does not exist")
    if not path.is_file():
        raise InputError(f"{path} is not a regular file")
    try:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                raise InputError(f"{path} is empty: was its download cut short?")
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def _folders_in(path: Path) -> list[Path]:
    try:
        return [place for place in path.iterdir() if place.is_dir()]
    except OSError:
        return []


def _guess_format(buffer: mmap.mmap) -> str:
    head = buffer[:512]
    for magic, name in _OTHER_FORMATS.items():
        if head.startswith(magic):
            return name
    if head[257:262] == b"ustar":
        return "a tar archive (official checkpoints end in .tar, but are none)"
    if head.lstrip().startswith(b"<"):
        return "a web page: the download gave a page instead of the file"
    if all(byte in b"\t\n\r\f" or byte >= 32 for byte in head) and b"\x7f" not in head:
        return "text"
    return "of an unknown format"


def _read_zip(path: Path, buffer: mmap.mmap) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            records = {info.filename: info for info in archive.infolist()}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InputError(
            "a zip archive without its directory: the file is cut short or corrupt"
        ) from error
    # Small files could name the same bytes many times, and have each copied.
    if sum(info.compress_size for info in records.values()) > len(buffer):
        raise InputError("its records overlap or reach beyond the end: the file is corrupt")
    pickles = [name for name in records if f"/{name}".endswith("/data.pkl")]
    if len(pickles) != 1:
        raise InputError("a zip archive, but not one that torch.save wrote: it has no data.pkl")
    top = pickles[0].removesuffix("data.pkl")
    if f"{top}constants.pkl" in records:
        raise InputError("a TorchScript program, not a checkpoint: save a state_dict instead")

    def record(name: str) -> memoryview:
        if name not in records:
            raise InputError(f"its record {shown(name)} is missing: the file is corrupt")
        return _zip_record(buffer, records[name])

    order = bytes(record(f"{top}byteorder")) if f"{top}byteorder" in records else b"little"
    if order not in (b"little", b"big"):
        raise InputError(f"its byte order is {shown(order)}: the file is corrupt")

    tree, _ = unpickle(io.BytesIO(record(pickles[0])))
    builder = _Builder(lambda key: record(f"{top}data/{key}"), ">" if order == b"big" else "<")
    return builder.build(tree)


def _zip_record(buffer: mmap.mmap, info: zipfile.ZipInfo) -> memoryview:
    """Returns the bytes of an uncompressed record and verifies its checksum."""
    name = shown(info.filename)
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise InputError(
            f"its record {name} is compressed or encrypted, as torch.save never does: unpack the "
            f"archive into a folder, and {_PACK_AGAIN.format('FOLDER')}"
        )
    header = buffer[info.header_offset : info.header_offset + 30]
    if len(header) != 30 or header[:4] != b"PK\x03\x04":
        raise InputError(f"its record {name} is not where the directory says: the file is corrupt")
    start = info.header_offset + 30
    start += int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    if info.file_size != info.compress_size or start + info.file_size > len(buffer):
        raise InputError(f"its record {name} reaches beyond the end: the file is corrupt")
    data = memoryview(buffer)[start : start + info.file_size]
    if zlib.crc32(data) != info.CRC:
        raise InputError(f"its record {name} fails its checksum: the file is corrupt")
    return data


def _read_legacy(buffer: mmap.mmap) -> Any:
    def take() -> tuple[Any, dict[str, StorageRecord]]:
        return unpickle(cast(IO[bytes], buffer))

    if take()[0] != _LEGACY_MAGIC:
        raise InputError("a pickle, but not one that torch.save wrote")
    if take()[0] != _LEGACY_PROTOCOL:
        raise InputError("of a protocol that is not known (only 1001 is)")
    take()  # sizes of the types in C, which nothing depends on
    tree, records = take()
    keys, _ = take()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise InputError("its list of storages is corrupt")
    storages = _locate_legacy_storages(buffer, buffer.tell(), keys, records)

    def data(key: str) -> memoryview:
        if key not in storages:
            raise InputError(f"its storage {shown(key)} is missing: the file is corrupt")
        return storages[key]

    return _Builder(data, "<").build(tree)


def _locate_legacy_storages(
    buffer: mmap.mmap, position: int, keys: list[str], records: dict[str, StorageRecord]
) -> dict[str, memoryview]:
    view = memoryview(buffer)
    found = {}
    for key in keys:
        if key not in records:
            raise InputError(f"nothing refers to its storage {shown(key)}: the file is corrupt")
        start = position + 8
        numel = int.from_bytes(view[position:start], "little", signed=True)
        position = start + numel * records[key].type.itemsize
        if numel < 0 or position > len(view):
            raise InputError(
                "it ends in the middle of its tensors: the file is cut short or corrupt"
            )
        found[key] = view[start:position]
    return found


def _decode(data: memoryview, storage_type: StorageType, order: Literal["<", ">"]) -> np.ndarray:
    """Decodes elements to native order; a view of the file if that needs no conversion."""
    if storage_type.dtype == "bool":
        return np.frombuffer(data, np.uint8) != 0
    if storage_type.dtype == "bfloat16":
        high = np.frombuffer(data, f"{order}u2").astype(np.uint32)
        return (high << 16).view(np.float32)
    raw = np.frombuffer(data, np.dtype(storage_type.dtype).newbyteorder(order))
    return raw.astype(raw.dtype.newbyteorder("="), copy=False)


class _Builder:
    """Puts arrays in the places of records, and plain dicts in the places of state dicts."""

    def __init__(self, data: Callable[[str], memoryview], order: Literal["<", ">"]):
        self._data, self._order = data, order
        self._storages: dict[str, np.ndarray] = {}
        # Shared objects stay shared: a small file could describe an exponentially large tree.
        self._built: dict[int, Any] = {}

    def build(self, node: Any, depth: int = 0) -> Any:
        """Converts `node` and everything in it."""
        if node is None or isinstance(node, (bool, int, float, str, bytes)):
            return node
        if id(node) not in self._built:
            if depth > _MAX_DEPTH:
                raise InputError("its objects are nested too deeply for a checkpoint")
            self._built[id(node)] = self._convert(node, depth + 1)
        return self._built[id(node)]

    def _convert(self, node: Any, depth: int) -> Any:
        if isinstance(node, Opaque):
            return node
        if isinstance(node, TensorRecord):
            return self._tensor(node)
        if isinstance(node, StorageRecord):
            return self._tensor(TensorRecord(node, 0, (node.numel,), (1,)))
        if isinstance(node, Dictionary) and node.odd:
            return Opaque("a dictionary with keys that are neither text nor numbers")
        if isinstance(node, dict):
            return {key: self.build(value, depth) for key, value in node.items()}
        if isinstance(node, (list, tuple)):
            return type(node)(self.build(value, depth) for value in node)
        raise InputError(f"it holds {shown(node)} where a value is expected")

    def _load(self, storage: StorageRecord) -> np.ndarray:
        data = self._data(storage.key)
        expected = storage.root_numel * storage.type.itemsize
        if len(data) != expected:
            raise InputError(
                f"its storage {shown(storage.key)} has {len(data)} bytes where {expected} are "
                "declared: the file is corrupt"
            )
        return _decode(data, storage.type, self._order)

    def _tensor(self, record: TensorRecord) -> np.ndarray:
        key = record.storage.key
        if key not in self._storages:
            self._storages[key] = self._load(record.storage)
            self._storages[key].flags.writeable = False
        elements = self._storages[key][record.storage.offset + record.offset :]
        strides = [step * elements.itemsize for step in record.strides]
        try:
            return np.lib.stride_tricks.as_strided(elements, record.shape, strides, writeable=False)
        except (ValueError, OverflowError) as error:
            raise InputError("it describes a tensor of an impossible size") from error
