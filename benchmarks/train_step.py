r"""How long does a training step take, to compile and to run, and how much memory does it need?

  python -m benchmarks.train_step --config configs/vox256.py
  python -m benchmarks.train_step --config configs/vox256.py --batch_sizes 8 28 --dtype bfloat16 \
      --steps 10 --reference CHECKOUT --reference_python PYTHON \
      --variants eager channels_last,compile,bfloat16

With a checkout of the official PyTorch code, and a Python that has torch, it times that too: the
official loop, each variant in a process of its own, on the same machine, in turns with the
project's. Background predictor and dropout of splines are on, VGG-19 has random weights, and the
pictures are noise on the device: no data set and no download. The project's pictures are 8-bit and
its step augments them; the official step gets float pictures, because there the data loader
augments. `benchmarks.parts --training` times what a step consists of.
"""

import argparse
import contextlib
import shutil
import statistics
from typing import Any

from ml_collections import ConfigDict

from benchmarks.common.full_training import Training, step_config
from benchmarks.common.reference import (
    ReferenceProcess,
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
from tpsm_jax.cli import ArgumentParser, add_dtype_flag, local_path_text, positive, run_script
from tpsm_jax.errors import InputError
from tpsm_jax.runtime.xla_flags_cpu import prepare_cpu
from tpsm_jax.runtime.xla_flags_gpu import prepare_gpu

OURS = "ours"
Seconds = dict[str, list[float]]  # {code: seconds a step in each round}


def main() -> None:
    """Measures every batch size, prints it, and writes it as JSON."""
    args, overrides = parse_arguments()
    config = step_config(args, overrides)
    height, width = config.image_size
    print(describe_machine())
    print(f"{args.config} {' '.join(overrides)}, {height} x {width}")
    print(f"ours: {config.compute_dtype}, compiled")
    rows = []
    with contextlib.ExitStack() as stack:
        references = {}
        for variant in args.variants if args.reference else ():
            process = ReferenceProcess(command_of(args, config, variant))
            references[f"reference {variant}"] = stack.enter_context(process)
            print(f"reference {variant}: {process.name}")
        for batch_size in args.batch_sizes:
            rows += measure(config, batch_size, references, args)
    write_results(args.output, rows)


def measure(
    config: ConfigDict,
    batch_size: int,
    references: dict[str, ReferenceProcess],
    args: argparse.Namespace,
) -> list[dict[str, Any]]:
    """Times one batch size of both codes in turns, prints the rows, and returns them."""
    config = config.copy_and_resolve_references()
    config.train_params.batch_size = batch_size
    training = Training(config)
    print(
        f"batch {batch_size}: traced in {training.trace_seconds:.1f} s, compiled in "
        f"{training.compile_seconds:.1f} s, {training.flops / 1e12:.3f} TFLOP a step, "
        f"{training.needed_mib:.0f} MiB as compiled",
        flush=True,
    )
    for process in references.values():
        process.ask(batch_size, args.warm_up)
    training.seconds(args.warm_up)
    memory = {OURS: training.memory()}
    seconds: Seconds = {code: [] for code in (OURS, *references)}
    for _ in range(args.rounds):
        seconds[OURS].append(training.seconds(args.steps) / args.steps)
        for code, process in references.items():
            total, *memory[code] = process.ask(batch_size, args.steps)
            seconds[code].append(total / args.steps)
    of_ours = {
        "dtype": config.compute_dtype,
        "trace_seconds": training.trace_seconds,
        "compile_seconds": training.compile_seconds,
        "flops": training.flops,
        "needed_mib": training.needed_mib,
    }
    rows = []
    for code, values in seconds.items():
        row = {"code": code, "part": "step", "batch_size": batch_size, **spread("seconds", values)}
        row |= dict(zip(("peak_rss_mib", "peak_device_mib"), memory[code], strict=True))
        rows.append(row | (of_ours if code == OURS else {}))
        print(f"  {describe(row, training.flops)}")
    return rows + headlines(batch_size, seconds)


def command_of(args: argparse.Namespace, config: ConfigDict, variant: str) -> list[str]:
    """The command that starts a variant of the official code."""
    if "compile" in variant.split(",") and not any(map(shutil.which, ("g++", "clang++"))):
        raise InputError("torch.compile wants g++ or clang++: leave 'compile' out of --variants")
    command = reference_command(args, "training_worker")
    command += ["--config", official_config(args, args.config)]
    command += ["--size", *map(str, config.image_size)]
    return [*command, "--variant", variant]


def describe(row: dict[str, Any], flops: float) -> str:
    """A row as text."""
    seconds, batch_size = row["seconds"], row["batch_size"]
    text = f"{row['code']:36} {row['part']:20} {seconds:8.4f} s/step"
    text += f" ({row['low']:.4f} to {row['high']:.4f})"
    text += f", {batch_size / seconds:8.3f} samples/s, {flops / seconds / 1e12:7.3f} TFLOP/s"
    text += f", peak memory {row['peak_rss_mib']:.0f} MiB"
    if row["peak_device_mib"]:
        text += f", of the device {row['peak_device_mib']:.0f} MiB"
    return text


def headlines(batch_size: int, seconds: Seconds) -> list[dict[str, Any]]:
    """A row for each variant of the reference: how many times as fast ours is."""
    rows = []
    ours = seconds[OURS]
    for code, theirs in seconds.items():
        if code == OURS:
            continue
        ratios = [their / our for our, their in zip(ours, theirs, strict=True)]
        question = f"training step, batch {batch_size}"
        medians = statistics.median(ours), statistics.median(theirs)
        rows.append({"code": code, **headline(question, "s/step", *medians, ratios)})
        print(f"  ours is {rows[-1]['ratio']:.2f} times as fast as {code}")
    return rows


def parse_arguments() -> tuple[argparse.Namespace, list[str]]:
    """The flags, and overrides of the config."""
    parser = ArgumentParser(__doc__ + "\nOverrides of the config: --config.FIELD=VALUE")
    add = parser.add_argument
    add(
        "--config", type=local_path_text, default="configs/vox256.py", help="file with get_config()"
    )
    add("--batch_sizes", type=positive, nargs="+", default=[1], help="over all devices; rising")
    add_dtype_flag(parser, help_text="type of our convolutions")
    add("--rounds", type=positive, default=7, help="turns of each code")
    add("--steps", type=positive, default=1, help="a round; 10 or more on a GPU")
    add("--warm_up", type=positive, default=1, help="steps of each code before the first round")
    add_reference_flags(parser)
    add(
        "--variants",
        nargs="+",
        default=["eager"],
        help="ways to run the reference: 'eager', as published, or several of channels_last, "
        "compile and bfloat16 (autocast), with commas between",
    )
    add_output_flag(parser)
    args, overrides = parser.parse_known_args()
    for variant in args.variants:
        if unknown := set(variant.split(",")) - {"eager", "channels_last", "compile", "bfloat16"}:
            raise InputError(f"--variants has {sorted(unknown)[0]!r} (--help lists the variants)")
    return args, overrides


if __name__ == "__main__":
    prepare_gpu()
    prepare_cpu()
    run_script(main)
