r"""How long a training step takes, to compile and to run, and how much memory it needs.

  python benchmarks/train_step.py --config configs/vox256.py
  python benchmarks/train_step.py --config configs/vox256.py --batch_sizes 28 --dtype bfloat16 \
      --reference CHECKOUT --reference_python PYTHON --compiled

With a checkout of the official PyTorch code, and a Python that has torch, it times that too: its
own loop, in a process of its own, on the same machine, in turns with the project's. Background
predictor and dropout of splines are on, VGG-19 has random weights, and the pictures are noise on
the device: no data set and no download. The project's are 8-bit and its step augments them; the
official step gets float pictures, for there the data loader does that.
"""

import argparse
import contextlib
import json
import re
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from measuring import ReferenceProcess, describe_machine, peak_rss_mib
from ml_collections import ConfigDict

from tpsm_jax.config_files import apply_overrides, read_config
from tpsm_jax.cpu_training import prepare_cpu
from tpsm_jax.errors import ArgumentParser, InputError, run_script
from tpsm_jax.training.schedule import phase_of
from tpsm_jax.training.sharding import batch_sharding, make_mesh
from tpsm_jax.training.state import TrainState
from tpsm_jax.training.step import ModelTrainer


def main() -> None:
    """Measures every batch size, prints it, and writes it as JSON."""
    args, overrides = parse_arguments()
    config = read_config(args.config)
    config.compute_dtype = args.dtype
    apply_overrides(config, overrides)
    config.train_params.bg_start = 0
    if config.perceptual_features == "vgg19":
        config.perceptual_features = "vgg19_random"

    report: dict[str, Any] = {
        "machine": describe_machine(),
        "config": args.config,
        "overrides": overrides,
        "size": list(config.image_size),
        "dtype": config.compute_dtype,
        "steps_a_round": args.steps,
        "reference": None,
        "batch_sizes": {},
    }
    with contextlib.ExitStack() as stack:
        reference = None
        if args.reference:
            command = reference_command(args, config)
            reference = stack.enter_context(ReferenceProcess(command))
            report["reference"] = reference.name
        print(describe(report))
        for batch_size in args.batch_sizes:
            result = time_batch_size(config, batch_size, reference, args)
            report["batch_sizes"][batch_size] = result
            print_result(batch_size, result)
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=2) + "\n")


def time_batch_size(
    config: ConfigDict,
    batch_size: int,
    reference: ReferenceProcess | None,
    args: argparse.Namespace,
) -> dict[str, Any]:
    """Seconds a step of both codes, in turns; what compiling took, and memory at its peak."""
    config = config.copy_and_resolve_references()
    config.train_params.batch_size = batch_size
    ours = Training(config)
    theirs: list[float] = []
    times: list[float] = []
    result = {
        "trace_seconds": ours.trace_seconds,
        "compile_seconds": ours.compile_seconds,
        "flops": ours.flops,
        "seconds_a_step": times,
        "reference_seconds_a_step": theirs,
    }
    if reference is not None:
        reference.ask(batch_size, args.warm_up)
    ours.seconds(args.warm_up)
    for _ in range(args.rounds):
        times.append(ours.seconds(args.steps) / args.steps)
        if reference is not None:
            seconds, host, device = reference.ask(batch_size, args.steps)
            theirs.append(seconds / args.steps)
            result |= {"reference_peak_rss_mib": host, "reference_peak_device_mib": device}
    # Of this process and of its device so far: it never falls, so sizes should rise.
    statistics_of_device = jax.local_devices()[0].memory_stats() or {}
    device_mib = statistics_of_device.get("peak_bytes_in_use", 0) / 2**20
    return result | {"peak_rss_mib": peak_rss_mib(), "peak_device_mib": device_mib}


class Training:
    """The project's training, of noise.

    Attributes:
      trace_seconds: to trace and lower a step.
      compile_seconds: to compile it.
      flops: of a step as it is written, over all devices; what compiling adds or saves is not in.
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
        lowered.compile()  # the step below finds it
        self.compile_seconds = time.perf_counter() - start - self.trace_seconds
        self.flops = lowered.cost_analysis()["flops"]

    def seconds(self, steps: int) -> float:
        """Takes so many steps, one after the other, and waits for the last."""
        jax.block_until_ready(self._state)
        start = time.perf_counter()
        for _ in range(steps):
            self._state, metrics = self._trainer.step(self._state, self._batch)
        jax.block_until_ready(self._state)
        return time.perf_counter() - start


def reference_command(args: argparse.Namespace, config: ConfigDict) -> list[str]:
    """How to start the official code."""
    worker = Path(__file__).with_name("reference_training_worker.py")
    name = re.sub(r"(\d+)$", r"-\1", Path(args.config).stem)  # vox256 -> vox-256
    yaml = args.reference_config or f"{args.reference}/config/{name}.yaml"
    if not Path(yaml).is_file():
        raise InputError(f"there is no {yaml}: give --reference_config")
    command = [args.reference_python, "-W", "ignore", str(worker), "--reference", args.reference]
    command += ["--config", yaml, "--size", *map(str, config.image_size)]
    return [*command, "--compiled"] if args.compiled else command


def describe(report: dict[str, Any]) -> str:
    """What is measured, on what."""
    height, width = report["size"]
    lines = [
        report["machine"],
        f"{report['config']} {' '.join(report['overrides'])}, {height} x {width}",
        f"ours       {report['dtype']}, compiled",
    ]
    if report["reference"]:
        lines.append(f"reference  {report['reference']}")
    return "\n".join(lines)


def print_result(batch_size: int, result: dict[str, Any]) -> None:
    """Medians and extremes, and what follows from them."""
    teraflop = result["flops"] / 1e12
    print(
        f"batch {batch_size}: traced in {result['trace_seconds']:.1f} s, compiled in "
        f"{result['compile_seconds']:.1f} s, {teraflop:.3f} TFLOP a step"
    )
    rows = [("ours", result["seconds_a_step"], "")]
    if result["reference_seconds_a_step"]:
        rows.append(("reference", result["reference_seconds_a_step"], "reference_"))
    for name, seconds, prefix in rows:
        median = statistics.median(seconds)
        line = (
            f"  {name:10} {median:8.4f} s/step ({min(seconds):.4f} to {max(seconds):.4f}), "
            f"{batch_size / median:8.3f} samples/s, {teraflop / median:7.3f} TFLOP/s, "
            f"peak memory {result[prefix + 'peak_rss_mib']:.0f} MiB"
        )
        if on_device := result[prefix + "peak_device_mib"]:
            line += f", of the device {on_device:.0f} MiB"
        print(line)
    if len(rows) == 2:
        ratio = statistics.median(rows[1][1]) / statistics.median(rows[0][1])
        print(f"  ours is {ratio:.2f} times as fast")


def parse_arguments() -> tuple[argparse.Namespace, list[str]]:
    """The flags, and overrides of the config."""
    parser = ArgumentParser(__doc__ + "\nOverrides of the config: --config.FIELD=VALUE")
    add = parser.add_argument
    add("--config", default="configs/vox256.py", help="file with get_config()")
    add("--batch_sizes", type=int, nargs="+", default=[1], help="over all devices; rising")
    add("--dtype", choices=["float32", "bfloat16"], default="float32", help="of convolutions, ours")
    add("--rounds", type=int, default=7, help="turns of each code")
    add("--steps", type=int, default=1, help="a round; 10 or more on a GPU")
    add("--warm_up", type=int, default=1, help="steps of each code before the first round")
    add("--reference", help="checkout of the official PyTorch code")
    add("--reference_python", default=sys.executable, help="a Python that has torch")
    add("--reference_config", help="YAML file; by default the one of --config's name")
    add(
        "--compiled",
        action="store_true",
        help="the reference with torch.compile, channels_last and bfloat16 autocast",
    )
    add("--json", help="file to write everything measured to")
    return parser.parse_known_args()


if __name__ == "__main__":
    prepare_cpu()
    run_script(main)
