r"""What does a frame, or a training step, consist of, and how long does each part take alone?

  python -m benchmarks.parts
  python -m benchmarks.parts --training --reference CHECKOUT --reference_python PYTHON

Float32, batch 1, random weights, on whatever backend is there: time, and counted work as a share of
what the machine can do at most. A part's bytes are those that all operations of its compiled
program read and write. In training each part is run with its gradient, to its weights and to what
other parts give it, and the step's losses as a whole without and with their gradient;
train_step.py times whole steps. A part of another part is indented. The official code runs as
published: it encodes the source again for each frame, and warps twice.
"""

import argparse
import contextlib
import sys

from benchmarks.common.frame_parts import frame_parts
from benchmarks.common.reference import (
    ReferenceProcess,
    add_reference_flags,
    official_config,
    reference_command,
)
from benchmarks.common.results import add_output_flag, describe_machine, write_results
from benchmarks.common.roofline import measure, print_rows
from benchmarks.common.training_parts import training_parts
from tpsm_jax.cli import ArgumentParser, local_path_text, positive, run_script, seconds
from tpsm_jax.config import read_config
from tpsm_jax.runtime.malloc import keep_freed_memory
from tpsm_jax.runtime.xla_flags_cpu import prepare_cpu
from tpsm_jax.runtime.xla_flags_gpu import prepare_gpu


def main() -> None:
    """Measures, prints a table, and writes it as JSON."""
    args = parse_arguments()
    if not args.training:
        keep_freed_memory()  # as animate.py does; train.py does more
    print(describe_machine())
    config = read_config(args.config)
    config.compute_dtype = "float32"
    parts = (training_parts if args.training else frame_parts)(config)
    asked = [name for name, part in parts.items() if part.theirs]
    with contextlib.ExitStack() as stack:
        reference = None
        if args.reference:
            process = ReferenceProcess(command_of(args, asked))
            reference = stack.enter_context(process)
            print(f"reference: {reference.name}")
        rows = measure(
            {name: part.work for name, part in parts.items()},
            reference,
            {name: number for number, name in enumerate(asked)},
            rounds=args.rounds,
            seconds=args.seconds,
        )
    for row in rows:
        row["count"] = parts[row["name"]].count if row["name"] in parts else 0
    print_rows(rows)
    whole = "step" if args.training else "frame"
    total = sum(row["ours_s"] * row["count"] for row in rows)
    print(f"all parts, as often as a {whole} needs them: {1e3 * total:.1f} ms")
    write_results(args.output, rows)


def command_of(args: argparse.Namespace, parts: list[str]) -> list[str]:
    """The command that starts the official code."""
    command = reference_command(args, "parts_worker")
    command += ["--config", official_config(args, args.config)]
    command += ["--size", *map(str, read_config(args.config).image_size)]
    return [*command, *(["--training"] if args.training else []), "--parts", *parts]


def parse_arguments() -> argparse.Namespace:
    """The flags."""
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add("--training", action="store_true", help="the parts of a training step, not of a frame")
    add(
        "--config", type=local_path_text, default="configs/vox256.py", help="file with get_config()"
    )
    add("--rounds", type=positive, default=5, help="turns of each code")
    add("--seconds", type=seconds, default=0.1, help="a turn lasts at least")
    add_reference_flags(parser)
    add_output_flag(parser)
    return parser.parse_args()


if __name__ == "__main__":
    prepare_gpu()
    if "--training" in sys.argv:
        prepare_cpu()
    run_script(main)
