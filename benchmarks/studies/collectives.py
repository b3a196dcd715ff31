r"""What do devices exchange in a training step, and does it depend on how many they are?

  python -m benchmarks.studies.collectives --config configs/vox256.py --devices 8
  python -m benchmarks.studies.collectives --config configs/puppets64.py --devices 2 4 8

Nothing is trained, and no accelerator is needed: the step is compiled for simulated CPU devices
with a sample each, and its program is read. docs/scaling.md discusses the figures.
"""

import math
import re
from collections import Counter
from typing import Any, NamedTuple

from benchmarks.common.compiled_step import Step, lower_step, simulate_devices
from benchmarks.common.results import add_output_flag, write_results
from tpsm_jax.checkpoints.orbax_io import tree_bytes
from tpsm_jax.cli import ArgumentParser, local_path_text, positive, run_script
from tpsm_jax.config import apply_overrides, read_config
from tpsm_jax.runtime.compilation_cache import use_compilation_cache

_KINDS = "all-reduce|all-gather|all-to-all|collective-permute|collective-broadcast|reduce-scatter"
_ARRAY = re.compile(r"\b(pred|[a-z]+\d+\w*)\[([\d,]*)\]")
_COLLECTIVE = re.compile(rf"= (.*?) ({_KINDS})(?:-start)?\(")
# A line of a program: "%name = type operation(operands), attributes", or a computation's head.
_INSTRUCTION = re.compile(r"\s*(?:ROOT )?(%[\w.-]+) = (?:\(.*?\)|\S+) ([\w-]+)\((.*?)\)(.*)")
_COMPUTATION = re.compile(r"(ENTRY )?(%[\w.-]+) \(.*\{$")
_NAME = re.compile(r"%[\w.-]+")


class Collective(NamedTuple):
    """An array that is exchanged.

    Attributes:
      kind: the HLO operation, such as "all-reduce" or "all-gather".
      shape: the shape of the result on one device.
      size: the bytes of that result.
    """

    kind: str
    shape: tuple[int, ...]
    size: int


def main() -> None:
    """Compiles the step for each number of devices, and prints what it exchanges."""
    parser = ArgumentParser(__doc__ + "\nOverrides of the config: --config.FIELD=VALUE")
    parser.add_argument(
        "--config", type=local_path_text, default="configs/vox256.py", help="file with get_config()"
    )
    parser.add_argument(
        "--devices", type=positive, nargs="+", default=[8], help="simulated, a sample each"
    )
    add_output_flag(parser)
    args, overrides = parser.parse_known_args()
    devices = simulate_devices(max(args.devices))
    use_compilation_cache()
    config = read_config(args.config)
    apply_overrides(config, overrides)
    rows = []
    for count in args.devices:
        step = lower_step(config, devices[:count], samples=1)
        compiled = step.compile()
        rows += report(step, compiled.as_text(), step.flops(compiled))
    write_results(args.output, rows)


def report(step: Step, program: str, flops: float) -> list[dict[str, Any]]:
    """Prints what a compiled step exchanges, and returns a row for each kind of collective."""
    parameters = tree_bytes(step.trainer.abstract_state().params)
    print(f"{step.devices} devices, parameters: {parameters / 1e6:.1f} MB")
    rows = kinds(program)
    for row in rows:
        megabytes = row["bytes"] / 1e6
        print(f"{row['kind']}: {row['count']} of {row['arrays']} arrays, {megabytes:.1f} MB a step")
    print(f"of which {longest_chain(program)} wait for one another", flush=True)
    return [{"devices": step.devices, "flops": flops, **row} for row in rows]


def kinds(program: str) -> list[dict[str, Any]]:
    """Counts a program's collectives by kind: operations, arrays, bytes."""
    found = collectives(program)
    operations = Counter(match[2] for match in _COLLECTIVE.finditer(program))
    arrays = Counter(collective.kind for collective in found)
    return [
        {
            "kind": kind,
            "count": operations[kind],
            "arrays": arrays[kind],
            "bytes": sum(collective.size for collective in found if collective.kind == kind),
        }
        for kind in sorted(operations)
    ]


def collectives(program: str) -> list[Collective]:
    """Reads the collectives of a compiled program; one within a loop counts once.

    Args:
      program: the HLO text, from `compiled.as_text()`.

    Returns:
      Every array of every collective, including those that are exchanged together.
    """
    found = []
    for match in _COLLECTIVE.finditer(program):
        for dtype, lengths in _ARRAY.findall(match[1]):
            shape = tuple(int(length) for length in lengths.split(",") if length)
            found.append(Collective(match[2], shape, math.prod(shape) * _itemsize(dtype)))
    return found


def longest_chain(program: str) -> int:
    """The number of collectives that must run one after the other, whatever runs in parallel.

    Args:
      program: the HLO text; a collective within a loop counts once.

    Returns:
      The most collectives on a path from the program's arguments to its results.
    """
    chains: dict[str, int] = {}  # the longest chain up to each instruction of a computation
    computations: dict[str, int] = {}  # the longest chain of each computation
    name = ""
    for line in program.splitlines():
        if head := _COMPUTATION.match(line):
            name, chains = head[2], {}
            computations[name] = 0
        elif match := _INSTRUCTION.match(line):
            instruction, operation, operands, attributes = match.groups()
            # Called computations come earlier in the text.
            called = [computations.get(other, 0) for other in _NAME.findall(attributes)]
            own = bool(re.fullmatch(f"(?:{_KINDS})(?:-start)?", operation))
            before = [chains.get(operand, 0) for operand in _NAME.findall(operands)]
            chains[instruction] = own + max(called, default=0) + max(before, default=0)
            computations[name] = max(computations[name], chains[instruction])
    return computations[name]


def _itemsize(dtype: str) -> int:
    """Bytes of an element of an HLO type such as f32, bf16 or pred."""
    bits = re.search(r"\d+", dtype)
    return max(int(bits[0]) // 8, 1) if bits else 1


if __name__ == "__main__":
    run_script(main)
