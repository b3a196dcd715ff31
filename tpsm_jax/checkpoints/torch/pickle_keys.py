"""Find out which objects a pickle uses as keys of dictionaries, without running it."""

import pickletools

from tpsm_jax.errors import InputError

ODD_KEYS = "a dictionary in it has keys that are neither text nor numbers"


class KeyCheck:
    """Follows a pickle's stack to check that no key of a dictionary is a composite object.

    Python hashes a key when it runs the instruction. Hashing a tuple recurses without a bound,
    until the process dies, and takes exponentially long if tuples hold one another twice.
    """

    def __init__(self) -> None:
        # Whether each object is composite.
        self._stack: list[bool] = []
        self._memo: dict[object, bool] = {}
        self._marks: list[int] = []

    def follow(self, opcode: pickletools.OpcodeInfo, argument: object) -> None:
        """Does what the instruction does to the stack; raises ValueError if it cannot."""
        if opcode.name == "MARK":
            self._marks.append(len(self._stack))
        elif opcode.name in ("BINGET", "LONG_BINGET"):
            self._stack.append(self._memo.get(argument, True))
        elif opcode.name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self._check_height(len(self._stack) - 1)
            key = len(self._memo) if opcode.name == "MEMOIZE" else argument
            self._memo[key] = self._stack[-1]
        else:
            taken = self._take(opcode.stack_before)
            keys = taken[1::2] if opcode.name in ("SETITEM", "SETITEMS") else []
            if any(keys):
                raise InputError(ODD_KEYS)
            self._stack += [bool(taken)] * len(opcode.stack_after)

    def _take(self, wanted: list[pickletools.StackObject]) -> list[bool]:
        start = len(self._stack) - len(wanted)
        if pickletools.markobject in wanted:
            if not self._marks:
                raise ValueError("no mark")
            start = self._marks.pop() - wanted.index(pickletools.markobject)
        self._check_height(start)
        taken = self._stack[start:]
        del self._stack[start:]
        return taken

    def _check_height(self, start: int) -> None:
        if start < (self._marks[-1] if self._marks else 0):
            raise ValueError("stack underflow")
