"""Errors that a user can mend. Scripts print them in one line, see `cli.run_script`."""

import contextlib
from collections.abc import Iterator
from pathlib import Path


class InputError(Exception):
    """Something the caller gave cannot be used: one line that says what, and what to do."""


def one_line(error: InputError | OSError) -> str:
    """One line for an error, with the file that it is about where it names one."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def reason(error: BaseException) -> str:
    """What went wrong, without the name of the file."""
    return getattr(error, "strerror", None) or str(error)  # FFmpeg's errors have it, too


def shown(text: object) -> str:
    """Makes text from a file safe to print: short and on one line. Other objects: their type."""
    if not isinstance(text, str):
        return f"a {type(text).__name__}"
    # A file may hold control characters of the terminal.
    return ascii(text[:80])[1:-1] + ("..." if len(text) > 80 else "")


@contextlib.contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turns an OSError in the block into an `InputError`: `place` cannot be written, and why."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{place} cannot be written: {reason(error)}") from error
