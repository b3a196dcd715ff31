"""Mutated files, each a pure function of a seed, read in a process whose time and memory end.

A module of cases calls `run` as its main; a test calls `assert_survives` with the module's name.
"""

import random
import resource
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from tests.helpers.peak_memory import peak_memory
from tests.helpers.processes import STRICT
from tpsm_jax.errors import InputError

SECONDS = 10  # of processor time for a file
_ENOUGH = 100  # files, of which some must be refused
_ADDRESSES = 4 * 2**30  # bytes that may be asked for beyond what the process has at first

_LENGTHS = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**64 - 1]


def mutated(rng: random.Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Changes a file in one to four ways.

    Args:
      rng: draws everything.
      data: the file.
      others: files to take pieces of, besides itself.
    """
    for _ in range(rng.choice([1, 1, 1, 2, 3, 4])):
        data = rng.choice(_WAYS)(rng, data, [data, *others])
    return data


def _place(rng: random.Random, data: bytes) -> int:
    # Heads and tails of files hold what decides how the rest is read.
    place = rng.randrange(len(data) + 1)
    near = min(rng.randrange(64), len(data))
    return rng.choice([place, place, near, len(data) - near])


def _flip(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        if changed:
            changed[min(_place(rng, data), len(data) - 1)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    return data[: _place(rng, data)]


def _drop(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    place = _place(rng, data)
    return data[:place] + data[place + rng.choice([1, 4, 64, len(data) // 4]) :]


def _swap(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    size = rng.choice([1, 2, 8, 32])
    one, other = sorted((_place(rng, data), _place(rng, data)))
    if other - one < size:
        return data[one:] + data[:one]
    middle = data[one + size : other]
    return (
        data[:one]
        + data[other : other + size]
        + middle
        + data[one : one + size]
        + data[other + size :]
    )


def _splice(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    other = rng.choice(others)
    start = _place(rng, other)
    piece = other[start : start + rng.choice([1, 8, 64, 512, len(other)])]
    place = _place(rng, data)
    return data[:place] + piece + data[place + rng.choice([0, len(piece)]) :]


def _repeat(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    place = _place(rng, data)
    piece = data[place : place + rng.choice([1, 2, 5, 16])]
    return data[:place] + piece * rng.choice([2, 100, 3000]) + data[place:]


def _overwrite(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    size = rng.choice([1, 2, 4, 8])
    number = rng.choice([*_LENGTHS, rng.getrandbits(64)]) % 256**size
    place = _place(rng, data)
    return (
        data[:place] + number.to_bytes(size, rng.choice(["little", "big"])) + data[place + size :]
    )


_WAYS = [_flip, _flip, _cut, _drop, _swap, _splice, _splice, _repeat, _overwrite, _overwrite]


def run(case: Callable[[random.Random, Path], Callable[[], object]], megabytes: int) -> None:
    """Reads mutated files of the seeds FIRST to LAST - 1, which the command line gives, and exits.

    Args:
      case: (random numbers, an empty folder) -> what reads the file that it wrote there.
      megabytes: how much more memory than at first the process may take.

    Raises:
      SystemExit: 1 if a file ended in anything but a result, an `InputError` or an OSError that
        names a file, if the memory was exceeded, or if none of many was refused. A file that takes
        too long ends the process by SIGPROF. Seeds are printed as they are begun.
    """
    first, last = map(int, sys.argv[1:])
    failed, refused = False, 0
    with tempfile.TemporaryDirectory() as folder:
        # The first file imports and compiles what all need.
        _ending(case, -1, Path(folder))
        before = peak_memory()
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + _ADDRESSES, resource.RLIM_INFINITY))
        for seed in range(first, last):
            print(seed, flush=True)
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            ending = _ending(case, seed, Path(folder))
            failed |= ending == "failed"
            refused += ending == "refused"
            signal.setitimer(signal.ITIMER_PROF, 0)
            grown = peak_memory() - before
            if grown > megabytes:
                print(f"seed {seed}: {grown:.0f} MiB", file=sys.stderr)
                sys.exit(1)
    if last - first >= _ENOUGH and not refused:
        print("nothing was refused: the mutations change nothing that matters", file=sys.stderr)
        failed = True
    sys.exit(failed)


def _ending(
    case: Callable[[random.Random, Path], Callable[[], object]], seed: int, folder: Path
) -> Literal["read", "refused", "failed"]:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        read = case(random.Random(seed), Path(place))
        try:
            read()
        except BaseException as error:  # what is none of Exception, too: panics of Rust
            if _is_refusal(error):
                return "refused"
            print(f"seed {seed}:", file=sys.stderr)
            traceback.print_exc()
            return "failed"
        return "read"


def _is_refusal(error: BaseException) -> bool:
    """Whether a script would end in one line, see `cli.run_script`."""
    if isinstance(error, InputError):
        return not isinstance(error.__cause__, MemoryError)  # which hides what was asked for
    return isinstance(error, OSError) and error.filename is not None


def naming(path: Path, read: Callable[[], object]) -> Callable[[], object]:
    """What reads a file, made to fail where an error is not one line that names the file."""

    def reading() -> None:
        try:
            read()
        except InputError as error:
            if path.name not in str(error) or "\n" in str(error):
                raise AssertionError(f"not a line that names {path.name}: {error}") from None
            raise

    return reading


def assert_survives(module: str, first: int, last: int) -> None:
    """Runs a module of cases over the seeds first .. last - 1."""
    command = [sys.executable, *STRICT, "-m", module, str(first), str(last)]
    done = subprocess.run(command, capture_output=True, text=True)
    seeds = done.stdout.split()
    assert done.returncode == 0, f"seed {seeds[-1:]}, exit {done.returncode}\n{done.stderr[-6000:]}"
    assert len(seeds) == last - first
