"""What the names and calls in a PyTorch file become: records, and stand-ins for functions.

A pickle may ask for any Python object by name and call it. Here no name is ever imported: names
that a checkpoint of tensors needs resolve to stand-ins made in this file, and every other name to
an `Opaque`, which can be read past and dropped, and never be called or given a state.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tpsm_jax.errors import InputError, shown

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

_MAX_AXES = 32  # the most axes of a tensor
_MAX_NAME = 200  # characters; a name put together from long texts would cost memory


@dataclass(frozen=True, eq=False)
class StorageType:
    """The class of a storage; `dtype` is a value of `STORAGE_DTYPES`."""

    dtype: str

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return 2 if self.dtype == "bfloat16" else np.dtype(self.dtype).itemsize


@dataclass(frozen=True, eq=False)
class StorageRecord:
    """A storage that the pickle refers to: elements `offset .. offset + numel` of record `key`."""

    type: StorageType
    key: str
    offset: int
    numel: int
    root_numel: int


@dataclass(frozen=True, eq=False)
class TensorRecord:
    """A strided view into a storage, in elements, checked to lie within it."""

    storage: StorageRecord
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Opaque:
    """Anything else that a file holds: read past, never made. Only its name is known.

    Attributes:
      name: what the file asks for, such as "collections.Counter"; at most `_MAX_NAME` characters.
    """

    name: str


class Dictionary(dict):
    """A dict or OrderedDict of the file; attributes (torch's `_metadata`) are dropped.

    Attributes:
      odd: whether a key was neither text nor an ordinary number. Such items are left out.
    """

    __slots__ = ("odd",)

    def __init__(self) -> None:
        super().__init__()
        self.odd = False

    def put(self, key: object, value: object) -> None:
        """Adds an item. Hashing another key, such as a tuple, can end the process."""
        if isinstance(key, str) or (isinstance(key, int) and abs(key) < 2**63):
            self[key] = value
        else:
            self.odd = True


class Function:
    """Stands for a callable that a checkpoint may name."""

    def __init__(self, name: str, run: Callable[..., Any]):
        self._name = name
        self._run = run

    def __call__(self, *args: Any) -> Any:
        try:
            return self._run(*args)
        except (TypeError, ValueError) as error:
            raise InputError(f"the pickle calls {self._name} with odd arguments") from error


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


def _rebuild_parameter(data: Any, requires_grad: Any, hooks: Any) -> TensorRecord | Opaque:
    if not isinstance(data, (TensorRecord, Opaque)):
        raise InputError("the pickle builds a parameter out of something that is no tensor")
    return data


def storage_record(saved_id: tuple[Any, ...]) -> StorageRecord:
    """Makes the record of a storage from the parts by which the pickle refers to it.

    Args:
      saved_id: type, key, device, number of elements, and perhaps a view of it.

    Raises:
      InputError: if a part is missing or impossible.
    """
    if len(saved_id) not in (4, 5):
        raise InputError("the pickle refers to a storage in an unknown way")
    storage_type, key, _, numel, *view = saved_id
    if isinstance(storage_type, Opaque):
        raise InputError(f"refused: it asks for {shown(storage_type.name)} as a kind of storage")
    if not (isinstance(storage_type, StorageType) and isinstance(key, str) and _is_count(numel)):
        raise InputError("the pickle refers to a storage in an unknown way")
    if not view or view[0] is None:
        return StorageRecord(storage_type, key, 0, numel, numel)
    _, offset, view_numel = view[0]
    if not (_is_count(offset) and _is_count(view_numel)) or offset + view_numel > numel:
        raise InputError("the pickle describes a view that reaches beyond its storage")
    return StorageRecord(storage_type, key, offset, view_numel, numel)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "torch.Size": _size,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
}
_KNOWN: dict[str, Function | StorageType]
_KNOWN = {name: Function(name, run) for name, run in _FUNCTIONS.items()}
_KNOWN |= {f"torch.{name}": StorageType(dtype) for name, dtype in STORAGE_DTYPES.items()}
_KNOWN |= {f"torch.cuda.{name}": StorageType(dtype) for name, dtype in STORAGE_DTYPES.items()}
_KNOWN["torch.storage.UntypedStorage"] = StorageType("uint8")


def stand_in(module: str, name: str) -> Function | StorageType | Opaque:
    """Finds what stands for a name in the file; nothing is imported."""
    full = f"{module[:_MAX_NAME]}.{name[:_MAX_NAME]}"[:_MAX_NAME]
    return _KNOWN.get(full) or Opaque(full)
