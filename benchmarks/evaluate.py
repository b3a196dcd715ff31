r"""How many frames a second does evaluation reconstruct, measure and write?

  python -m benchmarks.evaluate --checkpoint DIR
  python -m benchmarks.evaluate --checkpoint DIR --torch_checkpoint x.pth.tar \
      --reference CHECKOUT --reference_python PYTHON

Ours is what eval.py does with each clip: read, compute, measure, write the wide PNG, the video and
the record; at several batch sizes, and once more with L1 alone and no file. Theirs is the official
`reconstruction`, the same weights on the same clips, in a process of its own and in turns with
ours; once as published, once without the sheets that it draws for each frame and throws away.
Loading the weights and compiling are left out on both sides.
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.common.memory import peak_rss_mib
from benchmarks.common.reference import (
    ReferenceProcess,
    absolute,
    add_reference_flags,
    official_config,
    reference_command,
)
from benchmarks.common.results import (
    add_output_flag,
    describe_machine,
    headline,
    spread,
    write_results,
)
from data.evaluation_set import clips_for_test
from data.puppets.data_set import draw_clips
from eval import data_config
from tpsm_jax.cli import ArgumentParser, add_cache_flag, local_path_text, positive, run_script
from tpsm_jax.errors import InputError
from tpsm_jax.evaluation.checkpoints import choose_checkpoints
from tpsm_jax.evaluation.reconstruction import Reconstructor
from tpsm_jax.evaluation.run import Settings, evaluate, load_checkpoints
from tpsm_jax.runtime.compilation_cache import use_compilation_cache
from tpsm_jax.runtime.malloc import keep_freed_memory

PUBLISHED, NO_SHEETS = "reference as published", "reference without its sheets"


class Pass(NamedTuple):
    """One pass over all clips: frames a second, and the mean L1 over all frames."""

    speed: float
    l1: float


Table = dict[str, list[Pass]]


def main() -> None:
    """Measures, prints a table, and writes it as JSON."""
    args = parse_arguments()
    use_compilation_cache(args.compilation_cache)
    keep_freed_memory()
    if args.data is None:
        args.data = f"runs/bench_evaluate/puppets_{args.clips}x{args.frames}"
        if not Path(args.data).exists():
            sizes = {"clips": args.clips, "frames": args.frames, "size": args.size}
            draw_clips(Path(args.data), ("test", "train"), **sizes)
    ours = Evaluation(args.checkpoint, args.data)
    print(f"{describe_machine()}\n{args.data}: {ours.frames} frames of {len(ours.clips)} clips")
    with contextlib.ExitStack() as stack:
        reference = None
        if args.reference:
            reference = stack.enter_context(ReferenceProcess(command_of(args)))
            print(f"reference: {reference.name}")
        table = measure(ours, reference, args)
    print_table(table)
    print(f"peak memory of ours, all batch sizes {peak_rss_mib():.0f} MiB")
    rows = headlines(table) + [row(name, passes) for name, passes in table.items()]
    write_results(args.output, rows)


class Evaluation:
    """The project's evaluation of one checkpoint on the clips of a folder."""

    def __init__(self, checkpoint: str, data: str):
        self._models = choose_checkpoints([checkpoint])
        self._loaded = load_checkpoints(self._models)
        self._data = data
        self.clips = clips_for_test(data_config(self._loaded[0].config, data))
        self.frames = sum(1 for clip in self.clips for _ in clip.frames())

    def run(self, batch_size: int) -> Pass:
        """Does what eval.py does between loading the weights and writing its page."""
        settings = Settings(self._data, batch_size=batch_size)
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            metrics = evaluate(self._models, self._loaded, self.clips, Path(folder), settings)
            seconds = time.perf_counter() - start
        return Pass(self.frames / seconds, metrics["models"][0]["totals"]["l1"])

    def run_l1_alone(self, batch_size: int) -> Pass:
        """Computes the same clips' L1, no other number, and writes no files."""
        start, total = time.perf_counter(), 0.0
        reconstructor = Reconstructor(self._loaded[0], batch_size=batch_size, l1_only=True)
        for clip in self.clips:
            result = reconstructor.run(clip.frames())
            total += result.metrics["l1"] * result.frames
        return Pass(self.frames / (time.perf_counter() - start), total / self.frames)


def measure(
    ours: Evaluation, reference: ReferenceProcess | None, args: argparse.Namespace
) -> Table:
    """Runs every row's passes in turns; the first turn, in which ours compiles, does not count."""
    table: Table = {}
    for turn in range(1 + args.rounds):
        passes = {f"ours, batch {size}": ours.run(size) for size in args.batch_sizes}
        for size in args.l1_batch_sizes:
            passes[f"ours, batch {size}, L1 alone, no files"] = ours.run_l1_alone(size)
        if reference is not None:
            for sheets, name in enumerate((NO_SHEETS, PUBLISHED)):
                seconds, l1 = reference.ask(sheets)
                passes[name] = Pass(ours.frames / seconds, l1)
        if turn > 0:
            for name, result in passes.items():
                table.setdefault(name, []).append(result)
    return table


def command_of(args: argparse.Namespace) -> list[str]:
    """The command that starts the official code."""
    if not args.torch_checkpoint:
        raise InputError("--reference needs the same weights: give --torch_checkpoint")
    command = reference_command(args, "evaluation_worker")
    command += ["--config", official_config(args)]
    command += ["--torch_checkpoint", absolute(args.torch_checkpoint)]
    return [*command, "--data", absolute(args.data)]


def print_table(table: Table) -> None:
    """Prints medians, extremes, how many times as fast as the reference, and the common L1."""
    for name, passes in table.items():
        speeds = [each.speed for each in passes]
        line = f"{name:36} {statistics.median(speeds):6.3f} frames/s"
        line += f" ({min(speeds):.3f} to {max(speeds):.3f}), L1 {passes[0].l1:.5f}"
        for reference in (PUBLISHED, NO_SHEETS):
            if reference in table and name.startswith("ours"):
                ratio = statistics.median(ratios(table, name, reference))
                line += f", {ratio:.2f} times the {reference}"
        print(line)


def ratios(table: Table, name: str, reference: str) -> list[float]:
    """How many times as fast a row is as a reference, turn by turn."""
    pairs = zip(table[name], table[reference], strict=True)
    return [ours.speed / theirs.speed for ours, theirs in pairs]


def row(name: str, passes: list[Pass]) -> dict[str, Any]:
    """A row of the JSON file."""
    speeds = [each.speed for each in passes]
    return {"name": name, **spread("frames_a_second", speeds), "l1": passes[0].l1}


def headlines(table: Table) -> list[dict[str, Any]]:
    """Our fastest batch size compared with the reference."""
    if PUBLISHED not in table:
        return []
    speeds = {name: row(name, passes)["frames_a_second"] for name, passes in table.items()}
    whole = [name for name in table if name.startswith("ours") and "L1" not in name]
    fastest = max(whole, key=lambda name: speeds[name])
    both = speeds[fastest], speeds[PUBLISHED]
    return [headline("evaluation of a clip", "frames/s", *both, ratios(table, fastest, PUBLISHED))]


def parse_arguments() -> argparse.Namespace:
    """The flags."""
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add(
        "--checkpoint",
        type=local_path_text,
        required=True,
        help="folder that convert_torch_weights.py wrote",
    )
    add(
        "--data",
        type=local_path_text,
        help="folder of clips with test/ and train/; else puppets are drawn",
    )
    add("--clips", type=positive, default=2, help="puppets to draw")
    add("--frames", type=positive, default=16, help="frames of each puppet")
    add("--size", type=positive, default=256, help="side in pixels")
    add("--batch_sizes", type=positive, nargs="+", default=[1, 2, 4, 8])
    add("--l1_batch_sizes", type=positive, nargs="*", default=[1], help="for L1 alone, no files")
    add("--rounds", type=positive, default=3, help="turns of each")
    add_reference_flags(parser)
    add(
        "--torch_checkpoint",
        type=local_path_text,
        help="x.pth.tar for the reference, the same weights",
    )
    add_output_flag(parser)
    add_cache_flag(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run_script(main)
