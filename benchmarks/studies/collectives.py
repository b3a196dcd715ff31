r"""Counts what the devices exchange in a training step.

  python -m benchmarks.studies.collectives --config configs/vox256.py --devices 8

Nothing is trained, and no accelerator is needed: the step is compiled for simulated CPU devices,
and its program is read. What the figures say is in docs/scaling.md.
"""

import math
import re
import shlex
import sys
from collections import Counter
from typing import Any, NamedTuple

from benchmarks.common.compiled_step import lower_step, simulate_devices
from benchmarks.common.measuring import add_output_flag, write_results
from tpsm_jax.checkpoints.orbax_io import tree_bytes
from tpsm_jax.cli import ArgumentParser, positive, run_script
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
      kind: "all-reduce", "all-gather", ...
      shape: of the result on one device.
      size: bytes of it.
    """

    kind: str
    shape: tuple[int, ...]
    size: int


def main() -> None:
    """Compiles the step, and prints what it exchanges."""
    parser = ArgumentParser(__doc__ + "\nOverrides of the config: --config.FIELD=VALUE")
    parser.add_argument("--config", default="configs/vox256.py", help="file with get_config()")
    parser.add_argument("--devices", type=positive, default=8, help="simulated, a sample each")
    add_output_flag(parser)
    args, overrides = parser.parse_known_args()
    devices = simulate_devices(args.devices)
    use_compilation_cache()
    config = read_config(args.config)
    apply_overrides(config, overrides)
    step = lower_step(config, devices, samples=1)
    program = step.compile().as_text()
    rows = kinds(program)
    parameters = tree_bytes(step.trainer.abstract_state().params)
    print(f"parameters: {parameters / 1e6:.1f} MB")
    for row in rows:
        megabytes = row["bytes"] / 1e6
        print(f"{row['kind']}: {row['count']} of {row['arrays']} arrays, {megabytes:.1f} MB a step")
    print(f"of which {longest_chain(program)} wait for one another")
    command = f"python -m benchmarks.studies.collectives {shlex.join(sys.argv[1:])}"
    write_results(args.output, command=command, rows=rows)


def kinds(program: str) -> list[dict[str, Any]]:
    """Of each kind how many operations, of how many arrays, and their bytes."""
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
      program: its HLO, as `compiled.as_text()` gives it.

    Returns:
      Every array of every collective, also where several are exchanged together.
    """
    found = []
    for match in _COLLECTIVE.finditer(program):
        for dtype, lengths in _ARRAY.findall(match[1]):
            shape = tuple(int(length) for length in lengths.split(",") if length)
            found.append(Collective(match[2], shape, math.prod(shape) * _itemsize(dtype)))
    return found


def longest_chain(program: str) -> int:
    """How many collectives wait for one another at least, however many run at once.

    Args:
      program: as for `collectives`; one within a loop counts once.

    Returns:
      The most collectives on a path from what the program is given to what it gives.
    """
    chains: dict[str, int] = {}  # to each instruction of a computation, ...
    computations: dict[str, int] = {}  # ... and the longest of a whole one
    name = ""
    for line in program.splitlines():
        if head := _COMPUTATION.match(line):
            name, chains = head[2], {}
            computations[name] = 0
        elif match := _INSTRUCTION.match(line):
            instruction, operation, operands, attributes = match.groups()
            # What it calls stands above it in the text.
            called = [computations.get(other, 0) for other in _NAME.findall(attributes)]
            own = bool(re.fullmatch(f"(?:{_KINDS})(?:-start)?", operation))
            before = [chains.get(operand, 0) for operand in _NAME.findall(operands)]
            chains[instruction] = own + max(called, default=0) + max(before, default=0)
            computations[name] = max(computations[name], chains[instruction])
    return computations[name]


def _itemsize(dtype: str) -> int:
    """Bytes of an entry of an HLO type, as f32, bf16 or pred."""
    bits = re.search(r"\d+", dtype)
    return max(int(bits[0]) // 8, 1) if bits else 1


if __name__ == "__main__":
    run_script(main)
