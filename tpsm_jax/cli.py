"""Command lines: flags that several scripts share, and how a script ends.

A user's mistake ends a script with one line on stderr and exit code 2, without a traceback.
Nothing here imports JAX, so --help is quick.
"""

import argparse
import io
import math
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from tpsm_jax.errors import InputError, one_line
from tpsm_jax.runtime import ctrl_c, local_paths
from tpsm_jax.runtime.atomic_files import through_links
from tpsm_jax.runtime.memory import OUT_OF_MEMORY, is_out_of_memory

_Value = TypeVar("_Value")


class ArgumentParser(argparse.ArgumentParser):
    """Raises `InputError` for wrong flags; --help keeps the line breaks of a script's docstring."""

    def __init__(self, description: str | None, **options: Any):
        super().__init__(
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **options,  # argparse passes these to the parsers of subcommands
        )

    def error(self, message: str) -> NoReturn:
        """Raises: InputError: always."""
        raise InputError(f"{message} (--help lists the flags)")


def positive(text: str) -> int:
    """Parses the value of a flag that is a whole number of at least 1."""
    if not text.strip().isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def seconds(text: str) -> float:
    """Parses the value of a flag that is a time in seconds, more than 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def factor(least: float, most: float) -> Callable[[str], float]:
    """What parses the value of a flag that is a number from `least` to `most`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a factor from {least:g} to {most:g}")
        return value

    return parse


def picture_size(text: str) -> tuple[int, int]:
    """Parses '256' or '256x384', the value of a flag, to (height, width)."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH or one number")
    return int(sides[0]), int(sides[-1])


def local_path(text: str) -> Path:
    """Parses the value of a flag that is a path; see `runtime.local_paths`."""
    return Path(local_path_text(text))


def folder_to_write(text: str) -> Path:
    """Parses the value of a flag that is a folder to write; of a link, what it leads to."""
    return _parse_path(lambda path: through_links(local_path(path)), text)


def local_path_text(text: str) -> str:
    """Parses the same to a text, which keeps a "/" at its end."""
    return _parse_path(local_paths.local_path, text)


def _cache_folder(text: str) -> str:
    return _parse_path(local_paths.expand_home, text)  # JAX itself reads some URLs


def _parse_path(parse: Callable[[str], _Value], text: str) -> _Value:
    try:
        return parse(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_checkpoint_flags(parser: argparse.ArgumentParser) -> None:
    """Adds --checkpoint and --step, whose values are for `load_checkpoint`."""
    parser.add_argument(
        "--checkpoint",
        required=True,
        type=local_path_text,
        help="folder that convert_torch_weights.py wrote, a workdir of train.py, or puppets, the "
        "model that comes with the package",
    )
    add_step_flag(parser)


def add_step_flag(parser: argparse.ArgumentParser, *, default: str | None = "latest") -> None:
    """Adds --step, one of the steps that a training run saved.

    Args:
      parser: the parser to extend.
      default: the value without the flag; None for a script that must see whether it was given.
    """
    parser.add_argument(
        "--step",
        default=default,
        metavar="N|best|latest",
        help="which checkpoint of a workdir (latest)",
    )


def add_cache_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --compilation_cache, whose value is for `use_compilation_cache`."""
    parser.add_argument(
        "--compilation_cache",
        type=_cache_folder,
        help="folder to keep traced and compiled programs in, or 'none' "
        "(JAX_COMPILATION_CACHE_DIR, else a folder in ~/.cache)",
    )


def add_dtype_flag(
    parser: argparse.ArgumentParser, *, help_text: str = "type of convolutions"
) -> None:
    """Adds --dtype, the name of the type that convolutions compute in; float32 without the flag."""
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16"), default="float32", help=help_text
    )


def add_size_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --size, the size of the pictures as (height, width), or None."""
    parser.add_argument(
        "--size",
        type=picture_size,
        help="HEIGHTxWIDTH or one number (default: the checkpoint's)",
    )


def add_batch_size_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --batch_size, the number of frames that are computed together, or None."""
    parser.add_argument(
        "--batch_size", type=positive, help="frames computed together (CPU 1, otherwise 16)"
    )


def run_script(main: Callable[[], None], *, cleans_up: bool = True) -> None:
    """Runs a script's `main` and exits: 0 when done, 2 on an `InputError`, 130 when interrupted.

    When memory runs out, it exits with 2, too, in one line that says what takes less. A SIGTERM
    ends it by `SystemExit`, so that half-written files are removed.

    Args:
      main: the script; raises `InputError` for any mistake that its user can correct.
      cleans_up: whether Ctrl-C raises `KeyboardInterrupt` in it, which modules written in C may
        swallow; otherwise it ends the process at once, but where `main` handles the signal.

    Raises:
      SystemExit: always.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for file names that are not UTF-8
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if cleans_up:
        ctrl_c.raise_again()
    try:
        with (
            ctrl_c.sent_again(signal.SIGINT, KeyboardInterrupt),
            ctrl_c.sent_again(signal.SIGTERM, SystemExit),
        ):
            main()
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has gone. Python would complain again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if is_out_of_memory(error):
            _fail(OUT_OF_MEMORY)
        if not isinstance(error, InputError | OSError):
            raise
        if isinstance(error, OSError) and error.filename is None:
            raise
        _fail(one_line(error))
    except KeyboardInterrupt:
        print("interrupted; nothing was left half-written", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)


def printable(message: str) -> str:
    """A message on one line: names in a file may hold control characters of the terminal."""
    line = " ".join(message.split())
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line)


def _fail(message: str) -> NoReturn:
    print(f"error: {printable(message)}", file=sys.stderr)
    sys.exit(2)
