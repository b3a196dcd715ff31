r"""How long a training step takes, to compile and to run, and how much memory it needs.

  python -m benchmarks.train_step --config configs/vox256.py --parts
  python -m benchmarks.train_step --config configs/vox256.py --batch_sizes 8 28 --dtype bfloat16 \
      --steps 10 --reference CHECKOUT --reference_python PYTHON \
      --variants eager channels_last,compile,bfloat16

With a checkout of the official PyTorch code, and a Python that has torch, it times that too: its
own loop, each variant in a process of its own, on the same machine, in turns with the project's.
Background predictor and dropout of splines are on, VGG-19 has random weights, and the pictures are
noise on the device: no data set and no download. The project's are 8-bit and its step augments
them; the official step gets float pictures, for there the data loader does that.
"""

import argparse
import contextlib
import shlex
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks.common.compiled_step import lower_step
from benchmarks.common.flops import count_flops, cpu_device
from benchmarks.common.measuring import (
    ReferenceProcess,
    add_output_flag,
    add_reference_flags,
    describe_machine,
    headline,
    official_config,
    peak_rss_mib,
    reference_command,
    write_results,
)
from benchmarks.common.step_parts import PARTS, StepParts
from tpsm_jax.cli import ArgumentParser, add_dtype_flag, positive, run_script
from tpsm_jax.config import apply_overrides, read_config
from tpsm_jax.errors import InputError
from tpsm_jax.parallel.sharding import batch_sharding, make_mesh
from tpsm_jax.runtime.xla_flags_cpu import prepare_cpu
from tpsm_jax.runtime.xla_flags_gpu import prepare_gpu
from tpsm_jax.training.schedule import phase_of
from tpsm_jax.training.state import TrainState
from tpsm_jax.training.step import ModelTrainer

OURS = "ours"
# What a worker answers after the seconds: peak memory in MiB, and then seconds of the parts.
REFERENCE_PARTS = ("forward", "backward", "optimiser", "vgg")
Seconds = dict[str, dict[str, list[float]]]  # {code: {part: seconds a step, each round's}}


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
    write_results(args.output, command=f"python {shlex.join(sys.argv)}", rows=rows)


def step_config(args: argparse.Namespace, overrides: Sequence[str]) -> ConfigDict:
    """What --config, --dtype and overrides say, for steps in which everything takes part."""
    config = read_config(args.config)
    config.compute_dtype = args.dtype
    apply_overrides(config, overrides)
    config.train_params.bg_start = 0
    if config.perceptual_features == "vgg19":
        config.perceptual_features = "vgg19_random"
    return config


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
    memory = {OURS: training.memory()}  # before its parts are compiled
    for process in references.values():
        process.ask(batch_size, args.warm_up, 0)
    training.seconds(args.warm_up)
    memory[OURS] = training.memory()
    parts = training.parts() if args.parts else None
    seconds: Seconds = {}

    def note(code: str, part: str, total: float) -> None:
        seconds.setdefault(code, {}).setdefault(part, []).append(total / args.steps)

    for _ in range(args.rounds):
        note(OURS, "step", training.seconds(args.steps))
        for part in PARTS if parts else ():
            note(OURS, part, parts.seconds(part, args.steps))
        for code, process in references.items():
            total, *memory[code] = process.ask(batch_size, args.steps, 0)
            note(code, "step", total)
            if args.parts:
                answers = process.ask(batch_size, args.steps, 1)[3:]
                for part, total in zip(REFERENCE_PARTS, answers, strict=True):
                    note(code, part, total)
    shared = {
        "batch_size": batch_size,
        "dtype": config.compute_dtype,
        "trace_seconds": training.trace_seconds,
        "compile_seconds": training.compile_seconds,
        "flops": training.flops,
        "needed_mib": training.needed_mib,
    }
    rows = []
    for code, of_code in seconds.items():
        for part, values in of_code.items():
            row = {"code": code, "part": part, "batch_size": batch_size, **spread(values)}
            if part == "step":
                row |= dict(zip(("peak_rss_mib", "peak_device_mib"), memory[code], strict=True))
                row |= shared if code == OURS else {}
            rows.append(row)
            print(f"  {describe(row, training.flops)}")
    return rows + headlines(batch_size, seconds)


class Training:
    """The project's training, of noise.

    Attributes:
      trace_seconds: to trace and lower a step.
      compile_seconds: to compile it.
      program: it compiled.
      flops: of a step as it is written, over all devices; what compiling adds or saves is not in.
      needed_mib: what XLA says that a step needs of one device: arguments, results that take no
        argument's place, and all between.
    """

    def __init__(self, config: ConfigDict):
        mesh = make_mesh()
        self._trainer = ModelTrainer(config, mesh, steps_per_epoch=10**6)
        self._trainer.start(0)
        shape = (2, config.train_params.batch_size, *config.image_size, 3)
        noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        self._batch = {
            key: jax.device_put(value, batch_sharding(mesh))
            for key, value in zip(("source", "driving"), noise, strict=True)
        }
        self._state: TrainState = self._trainer.create_state()
        start = time.perf_counter()
        lowered = self._trainer.lower(phase_of(config, epoch=0))
        self.trace_seconds = time.perf_counter() - start
        self.program = lowered.compile()  # the step below finds it
        self.compile_seconds = time.perf_counter() - start - self.trace_seconds
        samples = config.train_params.batch_size
        self.flops = count_flops(
            lowered, lambda: lower_step(config, [cpu_device()], samples=samples).lowered
        )
        needs = self.program.memory_analysis()
        self.needed_mib = (
            needs.argument_size_in_bytes
            + needs.output_size_in_bytes
            - needs.alias_size_in_bytes
            + needs.temp_size_in_bytes
        ) / 2**20

    def seconds(self, steps: int) -> float:
        """Takes so many steps, one after the other, and waits for the last."""
        jax.block_until_ready(self._state)
        start = time.perf_counter()
        for _ in range(steps):
            self._state, metrics = self._trainer.step(self._state, self._batch)
        jax.block_until_ready(self._state)
        return time.perf_counter() - start

    def memory(self) -> list[float]:
        """MiB at the peak of this process, and of its device, so far: sizes should rise."""
        of_device = jax.local_devices()[0].memory_stats() or {}
        return [peak_rss_mib(), of_device.get("peak_bytes_in_use", 0) / 2**20]

    def parts(self) -> StepParts:
        """What a step is made of, compiled."""
        return StepParts(self._trainer, self._state, self._batch)


def command_of(args: argparse.Namespace, config: ConfigDict, variant: str) -> list[str]:
    """How to start the official code."""
    if "compile" in variant.split(",") and not any(map(shutil.which, ("g++", "clang++"))):
        raise InputError("torch.compile wants g++ or clang++: leave 'compile' out of --variants")
    command = reference_command(args, "training_worker")
    command += ["--config", official_config(args, args.config)]
    command += ["--size", *map(str, config.image_size)]
    return [*command, "--variant", variant]


def spread(values: list[float]) -> dict[str, Any]:
    """Median and extremes of a row."""
    return {
        "seconds": statistics.median(values),
        "low": min(values),
        "high": max(values),
        "rounds": len(values),
    }


def describe(row: dict[str, Any], flops: float) -> str:
    """A row as text."""
    seconds, batch_size = row["seconds"], row["batch_size"]
    text = f"{row['code']:36} {row['part']:20} {seconds:8.4f} s/step"
    text += f" ({row['low']:.4f} to {row['high']:.4f})"
    if row["part"] == "step":
        text += f", {batch_size / seconds:8.3f} samples/s, {flops / seconds / 1e12:7.3f} TFLOP/s"
        text += f", peak memory {row['peak_rss_mib']:.0f} MiB"
        if row["peak_device_mib"]:
            text += f", of the device {row['peak_device_mib']:.0f} MiB"
    return text


def headlines(batch_size: int, seconds: Seconds) -> list[dict[str, Any]]:
    """A row for each variant of the reference: how many times as fast ours is."""
    rows = []
    ours = seconds[OURS]["step"]
    for code, of_code in seconds.items():
        if code == OURS:
            continue
        theirs = of_code["step"]
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
    add("--config", default="configs/vox256.py", help="file with get_config()")
    add("--batch_sizes", type=positive, nargs="+", default=[1], help="over all devices; rising")
    add_dtype_flag(parser, help_text="of convolutions, ours")
    add("--parts", action="store_true", help="forward, backward, optimiser and VGG-19 apart, too")
    add("--rounds", type=positive, default=7, help="turns of each code")
    add("--steps", type=positive, default=1, help="a round; 10 or more on a GPU")
    add("--warm_up", type=positive, default=1, help="steps of each code before the first round")
    add_reference_flags(parser)
    add(
        "--variants",
        nargs="+",
        default=["eager"],
        help="of the reference: 'eager', as published, or several of channels_last, compile and "
        "bfloat16 (autocast), with commas between",
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
