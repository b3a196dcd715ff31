"""Trees of arrays in `.safetensors` files, by the safetensors library.

An array's name in the file is its path in the tree, joined by "/". An empty dict is an array of no
elements whose name ends in "/". The metadata have one entry, which the library would otherwise
write in any order: "tpsm_jax", with the version of the format and a checksum.
"""

import contextlib
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp  # which teaches NumPy bfloat16
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from tpsm_jax.errors import InputError, reason, shown
from tpsm_jax.runtime.disk import check_room

STORED_DTYPES = ("float32", "bfloat16", "float16")

_METADATA, _VERSION = "tpsm_jax", "1"
_LENGTH = 8  # bytes that hold the length of the header
# Checkpoints here have some hundred tensors, of a hundred bytes each in the header.
_LARGEST_HEADER = 10 * 2**20
_DEEPEST = 50  # dicts around an array; JAX flattens trees by recursion


def save_tensors(path: Path, tree: Mapping[str, Any], dtype: str | None = None) -> None:
    """Writes a tree of arrays to a file.

    Args:
      path: path of the file, in an existing folder.
      tree: nested dicts of arrays. Their keys are texts without "/".
      dtype: one of `STORED_DTYPES`, in which floating-point arrays are stored; None keeps theirs.

    Raises:
      InputError: if a number is too large for `dtype`.
      OSError: if the file cannot be written.
      TypeError, ValueError: if `tree` holds anything else, or `dtype` is another.
    """
    if dtype not in (None, *STORED_DTYPES):
        raise ValueError(f"arrays are stored in {', '.join(STORED_DTYPES)}, not in {dtype!r}")
    arrays = {name: _stored(name, leaf, dtype) for name, leaf in _flat(jax.device_get(tree), ())}
    check_room(path.parent, sum(array.nbytes for array in arrays.values()))
    metadata = {_METADATA: f"{_VERSION} {_checksum(arrays)}"}
    # The library's `save_file` renames a file of its own to `path`, which only its owner may read.
    path.write_bytes(save(arrays, metadata))


def load_tensors(path: Path) -> dict[str, Any]:
    """Reads a tree of arrays.

    Args:
      path: a file that `save_tensors` wrote, or another program with the same names in it.

    Returns:
      Nested dicts of NumPy arrays; bfloat16 and float16 come as float32.

    Raises:
      InputError: if it cannot be read, is damaged, or was written by a newer version.
    """
    with _naming(path), open_tensors(path) as file:
        metadata = (file.metadata() or {}).get(_METADATA)
        arrays = {name: _known(file, name) for name in file.keys()}  # noqa: SIM118
    version, _, checksum = (metadata or "").partition(" ")
    if metadata is not None and version != _VERSION:
        raise InputError(
            f"{path} has version {shown(version)} of the format, and {_VERSION} is read here: "
            "it is damaged, or a newer tpsm_jax wrote it"
        )
    with _naming(path):
        if metadata is not None and checksum != _checksum(arrays):
            raise InputError("its numbers do not match its checksum")
        return _nested({name: _computed(array) for name, array in arrays.items()})


@contextlib.contextmanager
def open_tensors(path: Path) -> Iterator[Any]:
    """Opens a file, which the library maps into memory.

    Args:
      path: path of a regular file.

    Yields:
      The library's `safe_open`; `read_tensor` reads from it.

    Raises:
      InputError: if it is cut short or corrupt, also where that shows in the block.
      OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        if int.from_bytes(file.read(_LENGTH), "little") > _LARGEST_HEADER:
            raise InputError("its header is longer than that of any checkpoint")
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise InputError(f"the file is cut short or corrupt ({shown(str(error))})") from error


def read_tensor(file: Any, name: str) -> np.ndarray | None:
    """Copies a tensor from an open file.

    Args:
      file: what `open_tensors` gave.
      name: one of its keys.

    Returns:
      The array, as it is stored; None if NumPy lacks its type.

    Raises:
      InputError: if it is of an impossible size.
    """
    try:
        return file.get_tensor(name)
    except (TypeError, AttributeError):
        return None
    except ValueError as error:
        raise InputError(f"its tensor {shown(name)} is of an impossible size") from error


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turns what is wrong with a file into one line that names it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path} is damaged: {error}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {reason(error)}") from error


def _known(file: Any, name: str) -> np.ndarray:
    tensor = read_tensor(file, name)
    if tensor is None:
        kind = file.get_slice(name).get_dtype()
        raise InputError(f"its tensor {shown(name)} is of type {shown(kind)}")
    return tensor


def _flat(tree: Any, place: tuple[str, ...]) -> Iterator[tuple[str, np.ndarray]]:
    """Lists (name, array); an array of no elements for an empty dict."""
    if not isinstance(tree, Mapping):
        if not (place and hasattr(tree, "dtype")):
            raise TypeError(f"a {type(tree).__name__} has no place in a safetensors file")
        yield "/".join(place), np.asarray(tree, order="C")
    elif not tree:
        yield "/".join((*place, "")), np.zeros(0, np.uint8)
    else:
        for key, value in tree.items():
            if not isinstance(key, str) or not key or "/" in key:
                raise TypeError(f"the key {key!r} has no place in a safetensors file")
            yield from _flat(value, (*place, key))


def _nested(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, array in arrays.items():
        *above, last = name.split("/")
        if len(above) > _DEEPEST:
            raise InputError(f"its tensor {shown(name)} lies too deep")
        place: Any = tree
        for key in above:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                raise InputError(f"its tensor {shown(name)} lies within another")
        if last in place:
            raise InputError(f"its tensor {shown(name)} lies around another")
        if last:
            place[last] = array
    return tree


def _stored(name: str, array: np.ndarray, dtype: str | None) -> np.ndarray:
    if dtype is None or not jnp.issubdtype(array.dtype, jnp.floating):
        return array
    with np.errstate(over="ignore"):
        stored = array.astype(jnp.dtype(dtype))
    if np.any(np.isfinite(array) & ~np.isfinite(stored)):
        raise InputError(f"{name} holds numbers that are too large for {dtype}")
    return stored


def _computed(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype.name in ("bfloat16", "float16") else array


def _checksum(arrays: Mapping[str, np.ndarray]) -> str:
    """A checksum of names, types, shapes and numbers: the library would not see a changed bit."""
    checksum = 0
    for name in sorted(arrays):
        array = arrays[name]
        described = f"{name} {array.dtype.name} {array.shape}"
        checksum = zlib.crc32(described.encode(), checksum)
        checksum = zlib.crc32(array.reshape(-1).view(np.uint8).data, checksum)
    return f"{checksum:08x}"
