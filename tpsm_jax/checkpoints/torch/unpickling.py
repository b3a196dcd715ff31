"""Unpickling that cannot run anything, because Python's own unpickler is not used.

A pickle is a program for a machine with a stack and a memo. The one here knows the instructions
that PyTorch and Python write, makes plain values, dictionaries and the records of
`tpsm_jax.checkpoints.torch.records`, and drops whatever goes into an `Opaque`. It imports nothing,
calls nothing but the stand-ins, sets no attribute, and hashes text and small numbers alone.
"""

import pickletools
import warnings
from collections.abc import Callable
from typing import IO, Any

from tpsm_jax.checkpoints.torch.records import (
    Dictionary,
    Function,
    Opaque,
    StorageRecord,
    stand_in,
    storage_record,
)
from tpsm_jax.errors import InputError, shown

_ODD_KEYS = "a dictionary in it has keys that are neither text nor ordinary numbers"

# Instructions that push their argument, or one value.
_ARGUMENTS = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "UNICODE",
    "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8",
}  # fmt: skip
_VALUES = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TEXTS = {"STRING", "BINSTRING", "SHORT_BINSTRING"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_SET = Opaque("builtins.set")
_BYTEARRAY = Opaque("a bytearray, by BYTEARRAY8")


def unpickle(stream: IO[bytes]) -> tuple[Any, dict[str, StorageRecord]]:
    """Reads the pickle at the stream's position, and leaves the position behind it.

    Args:
      stream: a file in memory.

    Returns:
      The object, made of plain Python values, `Dictionary`, `Opaque`, and records where tensors and
      storages go; and every storage that it refers to, by key.

    Raises:
      InputError: if it is cut short or broken, holds an instruction that no checkpoint needs, or is
        as a whole something else than tensors and plain values.
    """
    machine = _Machine()
    try:
        with warnings.catch_warnings():
            # Text in a corrupt file may hold escapes that Python warns of.
            warnings.simplefilter("ignore")
            found = machine.run(stream)
    except (ValueError, EOFError, OverflowError, MemoryError) as error:
        raise InputError("its pickle is cut short or corrupt") from error
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        raise InputError(f"its pickle is corrupt ({type(error).__name__})") from error
    if isinstance(found, Opaque):
        raise InputError(
            f"refused: it asks for {shown(found.name)}, which no checkpoint of tensors needs; "
            "nothing of it was run"
        )
    if isinstance(found, Dictionary) and found.odd:
        raise InputError(_ODD_KEYS)
    return found, machine.storages


class _Machine:
    """The stack, the memo, and what each instruction does to them."""

    def __init__(self) -> None:
        self.storages: dict[str, StorageRecord] = {}
        self._stack: list[Any] = []
        self._marks: list[int] = []  # heights of the stack
        self._memo: dict[int, Any] = {}
        self._count = 0  # of instructions so far
        self._copied = 0  # items of lists that became dictionaries
        self._ordered_dict = Function("collections.OrderedDict", self._make_dictionary)
        self._special: dict[str, Callable[[Any], None]] = {
            "MARK": lambda _: self._marks.append(len(self._stack)),
            "TUPLE": lambda _: self._stack.append(tuple(self._from_mark())),
            "LIST": lambda _: self._stack.append(self._from_mark()),
            "EMPTY_LIST": lambda _: self._stack.append([]),
            "EMPTY_DICT": lambda _: self._stack.append(Dictionary()),
            "EMPTY_SET": lambda _: self._stack.append(_SET),
            "BYTEARRAY8": lambda _: self._stack.append(_BYTEARRAY),
            "DICT": self._dict,
            "FROZENSET": self._frozenset,
            "APPEND": lambda _: self._append([self._pop()]),
            "APPENDS": lambda _: self._append(self._from_mark()),
            "ADDITEMS": lambda _: self._append(self._from_mark()),
            "SETITEM": lambda _: self._set_items(self._pop_many(2)),
            "SETITEMS": lambda _: self._set_items(self._from_mark()),
            "POP": self._discard,
            "POP_MARK": self._discard_to_mark,
            "GLOBAL": lambda name: self._global(*name.split(" ", 1)),
            "STACK_GLOBAL": lambda _: self._global(*self._pop_many(2)),
            "REDUCE": lambda _: self._reduce(*self._pop_many(2)),
            "NEWOBJ": lambda _: self._new_object("NEWOBJ", 2),
            "NEWOBJ_EX": lambda _: self._new_object("NEWOBJ_EX", 3),
            "BUILD": lambda _: self._build(self._pop()),
            "BINPERSID": lambda _: self._stack.append(self._persistent(self._pop())),
        }

    def run(self, stream: IO[bytes]) -> Any:
        """Follows the pickle to its end and returns its object."""
        for self._count, (opcode, argument, _) in enumerate(pickletools.genops(stream), 1):
            name = opcode.name
            if name in _ARGUMENTS:
                self._stack.append(argument)
            elif name in _VALUES:
                self._stack.append(_VALUES[name])
            elif name in _TEXTS:
                self._stack.append(_text(argument))
            elif name in _TUPLES:
                self._stack.append(tuple(self._pop_many(_TUPLES[name])))
            elif name in ("BINGET", "LONG_BINGET", "GET"):
                self._stack.append(self._memo[argument])  # type: ignore[index]
            elif name in ("BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE"):
                self._memoize(len(self._memo) if name == "MEMOIZE" else argument)
            elif name in self._special:
                self._special[name](argument)
            elif name not in ("PROTO", "FRAME", "STOP"):
                raise InputError(f"refused: it holds the pickle instruction {name}")
        return self._pop()

    def _pop_many(self, count: int) -> list[Any]:
        start = len(self._stack) - count
        if start < (self._marks[-1] if self._marks else 0):
            raise ValueError("stack underflow")
        taken = self._stack[start:]
        del self._stack[start:]
        return taken

    def _pop(self) -> Any:
        return self._pop_many(1)[0]

    def _from_mark(self) -> list[Any]:
        start = self._marks.pop()
        taken = self._stack[start:]
        del self._stack[start:]
        return taken

    def _top(self) -> Any:
        self._stack.append(self._pop())  # checks that it is above the last mark
        return self._stack[-1]

    def _discard(self, _: object) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._pop()

    def _discard_to_mark(self, _: object) -> None:
        self._from_mark()

    def _memoize(self, number: Any) -> None:
        if number > self._count:  # each object takes an instruction
            raise InputError("the pickle numbers its objects in an impossible way")
        self._memo[number] = self._top()

    def _dict(self, _: object) -> None:
        items = self._from_mark()
        self._stack.append(Dictionary())
        self._set_items(items)

    def _frozenset(self, _: object) -> None:
        self._from_mark()
        self._stack.append(_SET)

    def _append(self, items: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, Opaque):
            if not isinstance(target, list):
                raise ValueError("items are added to something else than a list")
            target.extend(items)

    def _set_items(self, items: list[Any]) -> None:
        target = self._top()
        if isinstance(target, Opaque):
            return
        if not isinstance(target, Dictionary):
            raise ValueError("items are set on something else than a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target.put(key, value)

    def _global(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise ValueError("a name that is no text")
        known = (module, name) == ("collections", "OrderedDict")
        self._stack.append(self._ordered_dict if known else stand_in(module, name))

    def _reduce(self, function: Any, arguments: Any) -> None:
        # What is made of something opaque by a call is as opaque.
        opaque = isinstance(function, Opaque)
        self._stack.append(function if opaque else function(*arguments))

    def _new_object(self, instruction: str, count: int) -> None:
        made = self._pop_many(count)[0]
        if not isinstance(made, Opaque):
            raise InputError(f"refused: it holds the pickle instruction {instruction}")
        self._stack.append(made)

    def _build(self, state: Any) -> None:
        target = self._top()
        if isinstance(target, Dictionary):
            if not isinstance(state, (Dictionary, Opaque)):
                raise InputError("the pickle sets an odd state on a dictionary")
        elif not isinstance(target, Opaque):
            raise InputError("the pickle sets the state of something that has none")

    def _make_dictionary(self, items: Any = ()) -> Dictionary | Opaque:
        """Makes a dict from a list of [key, value], as Python 2 wrote an OrderedDict."""
        if isinstance(items, Opaque):
            return items
        # An item takes at least an instruction; a list named repeatedly would be copied free.
        self._copied += len(items)
        if self._copied > self._count:
            raise InputError("the pickle copies its dictionaries beyond its own length")
        made = Dictionary()
        for key, value in items:
            made.put(key, value)
        return made

    def _persistent(self, saved_id: Any) -> StorageRecord | Opaque:
        kind = saved_id[0] if isinstance(saved_id, tuple) and saved_id else saved_id
        # The old format keeps the source text of a module's class next to its name.
        if kind == "module" and len(saved_id) > 1 and isinstance(saved_id[1], Opaque):
            return saved_id[1]
        if kind != "storage":
            raise InputError(
                f"refused: it refers to {shown(kind)} where only the storage of a tensor may be"
            )
        storage = storage_record(saved_id[1:])
        known = self.storages.setdefault(storage.key, storage)
        if (known.type.dtype, known.root_numel) != (storage.type.dtype, storage.root_numel):
            raise InputError(f"the pickle describes storage {shown(storage.key)} in two ways")
        return storage


def _text(argument: Any) -> str | bytes:
    """Text as Python 2 wrote it; bytes where it is none, such as the data of a NumPy scalar."""
    data = argument.encode("latin-1")  # which pickletools has decoded it by
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data
