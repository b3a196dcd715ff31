"""Times functions in turns with the official code's, and compares them with the machine's limits.

The limits are measured in the same run: FLOP/s of a large matrix product, bytes a second of a
large copy. A function's least time is the longer of its FLOP and its bytes at these rates, and its
share of the limit is that least time over the measured one. The copy goes through main memory, so
the share of a function whose arrays stay in caches can exceed 1.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from tqdm import tqdm

from benchmarks.common.flops import count_flops
from benchmarks.common.reference import ReferenceProcess

MATMUL, COPY = "matrix product", "copy"


class Work(NamedTuple):
    """A function with its arguments, and what it costs at least.

    Attributes:
      run: calls the function once; it is done when its result is ready.
      flops: FLOP, counted in the program as it is written, before it is compiled.
      bytes: bytes that it moves.
    """

    run: Callable[[], Any]
    flops: float
    bytes: float


def compiled(function: Callable[..., Any], *arguments: Any, count_program: bool = False) -> Work:
    """Compiles a function of arrays for the default device.

    Args:
      function: a function that `jax.jit` takes.
      arguments: its arguments; they are put on the device.
      count_program: count as its bytes what all operations of the compiled program read and write;
        otherwise only its arguments and results.
    """
    arguments = jax.device_put(arguments)
    lowered = jax.jit(function).lower(*arguments)
    program = lowered.compile()
    if count_program:
        moved = program.cost_analysis()["bytes accessed"]
    else:
        results = jax.eval_shape(function, *arguments)
        moved = sum(
            math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves((arguments, results))
        )
    shapes = jax.eval_shape(lambda *arguments: arguments, *arguments)
    flops = count_flops(lowered, lambda: jax.jit(function).lower(*shapes))
    return Work(lambda: program(*arguments), flops, moved)


def with_gradient(
    function: Callable[..., Any], wanted: Sequence[int], *arguments: Any, **options: Any
) -> Work:
    """Compiles a function together with its gradient, for an incoming gradient of ones.

    Args:
      function: a function of arrays.
      wanted: positions of the arguments to differentiate with respect to.
      arguments: the function's arguments.
      options: keyword arguments of `compiled`.
    """

    def both(given: Any, *arguments: Any) -> Any:
        def of_wanted(*values: Any) -> Any:
            everything = list(arguments)
            for number, value in zip(wanted, values, strict=True):
                everything[number] = value
            return function(*everything)

        results, pull = jax.vjp(of_wanted, *(arguments[number] for number in wanted))
        return results, pull(given)

    given = jax.tree.map(jnp.ones_like, jax.eval_shape(function, *arguments))
    return compiled(both, given, *arguments, **options)


def limits() -> dict[str, Work]:
    """A large matrix product and a large copy in float32."""
    side, length = (2048, 2**26) if jax.default_backend() == "cpu" else (8192, 2**29)
    matrix = jnp.ones((side, side))
    product = lambda a, b: jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)  # noqa: E731
    # Negated, or it would not be copied at all.
    return {
        MATMUL: compiled(product, matrix, matrix),
        COPY: compiled(jnp.negative, jnp.ones(length)),
    }


def measure(
    works: Mapping[str, Work],
    reference: ReferenceProcess | None,
    asked: Mapping[str, int],
    *,
    rounds: int,
    seconds: float,
) -> list[dict[str, Any]]:
    """Times everything, ours and theirs in turns, one round after the other.

    Args:
      works: the project's functions by name; those of `limits` go first.
      reference: the official code's process, which is asked by number.
      asked: name -> number of what the official code has.
      rounds: turns of each function.
      seconds: the least time that a turn should last.

    Returns:
      A row for each name: name, ours_s, ours_low_s, ours_high_s, gflop, mb, limit and share; and
      reference_s, reference_low_s, reference_high_s, ratio, ratio_low and ratio_high (how many
      times as fast ours is) where the reference has it.
    """
    works = {**limits(), **works}
    ours = {name: Turns(lambda n, run=work.run: _seconds(run, n)) for name, work in works.items()}
    theirs = {
        name: Turns(lambda n, number=number: reference.ask(number, n)[0])
        for name, number in asked.items()
        if reference is not None
    }
    for _ in range(rounds):
        for name in tqdm(works, "a round", unit="", leave=False):
            ours[name].take(seconds)
            if name in theirs:
                theirs[name].take(seconds)
    peaks = {
        "flops": works[MATMUL].flops / min(ours[MATMUL].times),
        "bytes": works[COPY].bytes / min(ours[COPY].times),
    }
    return [
        _row(name, work, ours[name].times, theirs[name].times if name in theirs else [], peaks)
        for name, work in works.items()
    ]


class Turns:
    """Repeats a function often enough to time it.

    Attributes:
      times: seconds a run, one value for each turn.
    """

    def __init__(self, run: Callable[[int], float]):
        self.times: list[float] = []
        self._run, self._count = run, 0

    def take(self, seconds: float) -> None:
        """Takes a turn of about `seconds` seconds."""
        if not self._count:
            self._run(1)  # the first run is slower than the others
            self._count = max(1, round(seconds / self._run(1)))
        self.times.append(self._run(self._count) / self._count)


def _seconds(run: Callable[[], Any], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        last = run()
    jax.block_until_ready(last)
    return time.perf_counter() - start


def _row(
    name: str, work: Work, ours: list[float], theirs: list[float], peaks: dict[str, float]
) -> dict[str, Any]:
    least = {MATMUL: work.flops / peaks["flops"], COPY: work.bytes / peaks["bytes"]}
    limit = max(least, key=least.__getitem__)
    row = {"name": name, **_spread("ours", ours)}
    if theirs:
        ratios = [their / our for their, our in zip(theirs, ours, strict=True)]
        row |= _spread("reference", theirs)
        row["ratio"] = statistics.median(ratios)
        row |= {"ratio_low": min(ratios), "ratio_high": max(ratios)}
    row |= {"gflop": work.flops / 1e9, "mb": work.bytes / 1e6}
    return row | {"limit": limit, "share": least[limit] / row["ours_s"]}


def _spread(name: str, times: list[float]) -> dict[str, float]:
    low, median, high = min(times), statistics.median(times), max(times)
    return {f"{name}_s": median, f"{name}_low_s": low, f"{name}_high_s": high}


def print_rows(rows: list[dict[str, Any]]) -> None:
    """Prints a table of milliseconds."""
    width = max(len(row["name"]) for row in rows)
    print(
        f"{'':{width}} {'ours ms':>9} {'from':>8} {'to':>8} {'theirs':>9} {'times as fast':>20} "
        f"{'GFLOP':>8} {'MB':>8} {'share':>6} of the limit"
    )
    for row in rows:
        ours = [1e3 * row[f"ours{key}_s"] for key in ("", "_low", "_high")]
        line = f"{row['name']:{width}} {ours[0]:9.3f} {ours[1]:8.3f} {ours[2]:8.3f} "
        if "ratio" in row:
            spread = f"{row['ratio']:.2f} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f})"
            line += f"{1e3 * row['reference_s']:9.3f} {spread:>20} "
        else:
            line += " " * 31
        print(f"{line}{row['gflop']:8.3f} {row['mb']:8.1f} {row['share']:6.2f} {row['limit']}")
