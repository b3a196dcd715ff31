"""Command lines: flags that several scripts share, and how a script ends.

A user's mistake ends a script with one line on stderr and exit code 2, without a traceback.
"""

import argparse
import io
import math
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from tpsm_jax.errors import InputError, one_line


class ArgumentParser(argparse.ArgumentParser):
    """Tells wrong flags as all bad input is told; shows a script's docstring as it is laid out."""

    def __init__(self, description: str | None, **options: Any):
        super().__init__(
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **options,  # which the parsers of subcommands are made with
        )

    def error(self, message: str) -> NoReturn:
        """Raises: InputError: always."""
        raise InputError(f"{message} (--help lists the flags)")


def positive(text: str) -> int:
    """A whole number of at least 1, as the value of a flag."""
    if not text.strip().isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def seconds(text: str) -> float:
    """The value of a flag that is a time in seconds, more than 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def picture_size(text: str) -> tuple[int, int]:
    """'256' or '256x384' as (height, width), as the value of a flag."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH or one number")
    return int(sides[0]), int(sides[-1])


def run_script(main: Callable[[], None]) -> None:
    """Runs a script's `main` and exits: 0 when done, 2 on an `InputError`, 130 when interrupted.

    A SIGTERM ends it by `SystemExit`, so that what is half-written is cleared away.

    Args:
      main: the script; raises `InputError` for anything its user can mend.

    Raises:
      SystemExit: always.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # of files' names that are not UTF-8
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        main()
        sys.stdout.flush()
    except InputError as error:
        _fail(str(error))
    except BrokenPipeError:
        # Whoever read our output has gone. Python would complain once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.filename is None:
            raise
        _fail(one_line(error))
    except KeyboardInterrupt:
        print("interrupted; nothing was left half-written", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)


def _fail(message: str) -> NoReturn:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)
