"""Names in the order of the numbers in them: 9.png before 10.png."""

import re
from collections.abc import Iterable

_NUMBER = re.compile("[0-9]+")
_ANY_DIGIT = bytes.maketrans(b"123456789", b"000000000")


def in_natural_order(names: Iterable[str]) -> list[str]:
    """Sorts names by the numbers in them, and otherwise as `sorted` does.

    Args:
      names: names of files, without folders.

    Returns:
      The names. Those that differ only in leading zeros are in plain order. Where numbers have
      leading zeros to one length, the order is the plain one.
    """
    names = list(names)
    # Most folders have names such as 0000.png alone. Keys would take longer than listing them.
    joined = "/".join(names).encode(errors="surrogateescape")
    shapes = set(joined.translate(_ANY_DIGIT).split(b"/"))
    return sorted(names, key=None if len(shapes) == 1 else _key)


def _key(name: str) -> tuple[str, str]:
    return _NUMBER.sub(_comparable, name), name


def _comparable(number: re.Match[str]) -> str:
    """A number as a text that is in order among others, and among letters where digits are."""
    digits = number.group().lstrip("0")
    return f"0{chr(len(digits))}{digits}"
