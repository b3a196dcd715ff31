"""Unpickling that cannot run anything: the file may only name what is listed here.

A pickle is a program: it may ask for any Python object by name and call it. Here every name goes
through `_lookup`, and none is ever imported: names that a checkpoint needs resolve to stand-ins
made in this file, and any other name is refused. Stand-ins accept no attributes, so the
instruction that sets state has nothing to change.

All instructions are checked before any is run, because some that PyTorch never writes can exhaust
memory or reach objects in other ways.
"""

import io
import pickle
import pickletools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, NoReturn

import numpy as np

from tpsm_jax.checkpoints.torch.pickle_keys import ODD_KEYS, KeyCheck
from tpsm_jax.errors import InputError

_OPCODES = {
    "PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2",
    "LONG1", "LONG4", "BINFLOAT", "BINSTRING", "SHORT_BINSTRING", "BINUNICODE", "SHORT_BINUNICODE",
    "BINBYTES", "SHORT_BINBYTES", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
    "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS", "BINPUT", "LONG_BINPUT",
    "MEMOIZE", "BINGET", "LONG_BINGET", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "BINPERSID",
}  # fmt: skip

# Torch's name of a storage -> the type of its elements.
STORAGE_DTYPES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}

_MAX_AXES = 32  # of a tensor


class _StandIn:
    """An object that replaces a name in the file, or what the pickle makes of one; has no state."""

    def __setstate__(self, state: object) -> NoReturn:
        raise InputError("the pickle sets the state of something that has none")


@dataclass(frozen=True, eq=False)
class StorageType(_StandIn):
    """The class of a storage; `dtype` is a value of `STORAGE_DTYPES`."""

    dtype: str

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return 2 if self.dtype == "bfloat16" else np.dtype(self.dtype).itemsize


@dataclass(frozen=True, eq=False)
class StorageRecord(_StandIn):
    """A storage that the pickle refers to: elements `offset .. offset + numel` of record `key`."""

    type: StorageType
    key: str
    offset: int
    numel: int
    root_numel: int


@dataclass(frozen=True, eq=False)
class TensorRecord(_StandIn):
    """A strided view into a storage, in elements, checked to lie within it."""

    storage: StorageRecord
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class StateDict(dict):
    """Stands for an OrderedDict; attributes (torch's `_metadata`) are dropped."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, dict):
            raise InputError("the pickle sets an odd state on a dictionary")


class _Function(_StandIn):
    """Stands for a callable that a checkpoint may name."""

    def __init__(self, name: str, run: Callable[..., Any]):
        self._name = name
        self._run = run

    def __call__(self, *args: Any) -> Any:
        try:
            return self._run(*args)
        except (TypeError, ValueError) as error:
            raise InputError(f"the pickle calls {self._name} with odd arguments") from error


def shown(text: object) -> str:
    """Makes text from a file safe to print: short and on one line. Other objects: their type."""
    if not isinstance(text, str):
        return f"a {type(text).__name__}"
    # A file may hold control characters of the terminal.
    return ascii(text[:80])[1:-1] + ("..." if len(text) > 80 else "")


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**62


def _rebuild_tensor(
    storage: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    requires_grad: Any = None,
    hooks: Any = None,
    metadata: Any = None,
) -> TensorRecord:
    if not isinstance(storage, StorageRecord) or metadata:
        raise InputError("the pickle builds a tensor in a way that no checkpoint needs")
    # Before they are copied: a pickle can name one long list again and again.
    if len(shape) != len(strides) or len(shape) > _MAX_AXES:
        raise InputError("the pickle describes a tensor whose shape and strides do not match")
    shape, strides = tuple(shape), tuple(strides)
    if not all(map(_is_count, (offset, *shape, *strides))):
        raise InputError("the pickle describes a tensor with an impossible shape, stride or offset")
    reach = offset + 1 + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
    if 0 not in shape and reach > storage.numel:
        raise InputError(
            f"a tensor reaches beyond its storage, {shown(storage.key)} of {storage.numel} elements"
        )
    return TensorRecord(storage, offset, shape, strides)


def _size(sizes: Any) -> tuple[int, ...]:
    if len(sizes) > _MAX_AXES or not all(map(_is_count, sizes)):
        raise InputError("the pickle describes an impossible torch.Size")
    return tuple(sizes)


def _rebuild_parameter(data: Any, requires_grad: Any, hooks: Any) -> TensorRecord:
    if not isinstance(data, TensorRecord):
        raise InputError("the pickle builds a parameter out of something that is no tensor")
    return data


def _storage_record(saved_id: tuple[Any, ...]) -> StorageRecord:
    if len(saved_id) not in (4, 5):
        raise InputError("the pickle refers to a storage in an unknown way")
    storage_type, key, _, numel, *view = saved_id
    if not (isinstance(storage_type, StorageType) and isinstance(key, str) and _is_count(numel)):
        raise InputError("the pickle refers to a storage in an unknown way")
    if not view or view[0] is None:
        return StorageRecord(storage_type, key, 0, numel, numel)
    _, offset, view_numel = view[0]
    if not (_is_count(offset) and _is_count(view_numel)) or offset + view_numel > numel:
        raise InputError("the pickle describes a view that reaches beyond its storage")
    return StorageRecord(storage_type, key, offset, view_numel, numel)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    # Each unpickler answers with its own, which keeps count.
    "collections.OrderedDict": StateDict,
    "torch.Size": _size,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
}
_ALLOWED: dict[str, _StandIn] = {name: _Function(name, run) for name, run in _FUNCTIONS.items()}
_ALLOWED |= {f"torch.{name}": StorageType(dtype) for name, dtype in STORAGE_DTYPES.items()}
_ALLOWED |= {f"torch.cuda.{name}": StorageType(dtype) for name, dtype in STORAGE_DTYPES.items()}
_ALLOWED["torch.storage.UntypedStorage"] = StorageType("uint8")


def _lookup(name: str) -> _StandIn:
    if name not in _ALLOWED:
        raise InputError(
            f"refused: it asks for {shown(name)}, which no checkpoint of tensors needs; "
            "nothing of it was run"
        )
    return _ALLOWED[name]


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes):
        # Checkpoints written by Python 2 hold byte strings where names are meant.
        super().__init__(io.BytesIO(data), encoding="utf-8")
        self.storages: dict[str, StorageRecord] = {}
        self._ordered_dict = _Function("collections.OrderedDict", self._make_state_dict)
        self._items_left = len(data)

    def find_class(self, module: str, name: str, /) -> Any:
        found = _lookup(f"{module}.{name}")
        return self._ordered_dict if (module, name) == ("collections", "OrderedDict") else found

    def _make_state_dict(self, items: Any = ()) -> StateDict:
        """Makes a dict from a list of [key, value], as Python 2 wrote an OrderedDict."""
        # An item takes at least a byte of the file; a list named repeatedly would be copied free.
        self._items_left -= len(items)
        if self._items_left < 0:
            raise InputError("the pickle copies its dictionaries beyond its own length")
        if not all(isinstance(key, (str, int)) for key, _ in items):
            raise InputError(ODD_KEYS)
        return StateDict(items)

    def persistent_load(self, saved_id: Any, /) -> StorageRecord:
        kind = saved_id[0] if isinstance(saved_id, tuple) and saved_id else saved_id
        if kind != "storage":
            raise InputError(
                f"refused: it refers to {shown(kind)} where only the storage of a tensor may be"
            )
        storage = _storage_record(saved_id[1:])
        known = self.storages.setdefault(storage.key, storage)
        if (known.type.dtype, known.root_numel) != (storage.type.dtype, storage.root_numel):
            raise InputError(f"the pickle describes storage {shown(storage.key)} in two ways")
        return storage


def find_end(stream: IO[bytes]) -> int:
    """Checks the pickle that starts at the stream's position, without running it.

    Args:
      stream: a file in memory.

    Returns:
      Position after the pickle.

    Raises:
      InputError: if it is cut short, broken, or holds an instruction or a name that is not allowed.
    """
    try:
        with warnings.catch_warnings():
            # Text in a corrupt file may hold escapes that Python warns of.
            warnings.simplefilter("ignore")
            _check_instructions(stream)
    except (ValueError, EOFError, OverflowError, MemoryError) as error:
        raise InputError("its pickle is cut short or corrupt") from error
    return stream.tell()


def _check_instructions(stream: IO[bytes]) -> None:
    keys = KeyCheck()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(stream), 1):
        if opcode.name in ("GLOBAL", "INST"):
            _lookup(str(argument).replace(" ", ".", 1))
        if opcode.name not in _OPCODES:
            raise InputError(f"refused: it holds the pickle instruction {opcode.name}")
        # Python allocates as many places as the largest number asks for.
        if opcode.name == "LONG_BINPUT" and int(argument or 0) > count:
            raise InputError("the pickle numbers its objects in an impossible way")
        keys.follow(opcode, argument)


def unpickle(data: bytes) -> tuple[Any, dict[str, StorageRecord]]:
    """Runs one pickle.

    Args:
      data: a whole pickle; `find_end` checks it first.

    Returns:
      The object, made of plain Python values, `StateDict`, and records where tensors and storages
      go; and every storage that it refers to, by key.

    Raises:
      InputError: if it is broken or asks for anything that is not allowed.
    """
    find_end(io.BytesIO(data))
    unpickler = _Unpickler(data)
    try:
        return unpickler.load(), unpickler.storages
    except InputError:
        raise
    except Exception as error:
        # A broken pickle can raise nearly anything.
        raise InputError(f"its pickle is corrupt ({type(error).__name__})") from error
