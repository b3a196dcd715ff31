r"""Which kernels does the device spend the time of a frame, or of a training step, in?

  python -m benchmarks.studies.kernels --batch_size 64 --dtype bfloat16
  python -m benchmarks.studies.kernels --training --batch_size 28 --dtype bfloat16

A profile of the whole program, as it is compiled for whatever backend is there, with random
weights and pictures of noise. Each kernel is attributed to the part of the code that XLA made it
from, by the name that the compiled program gives it; kernels of one place are summed.
"""

import argparse
import collections
import os
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.profiler import ProfileData
from ml_collections import ConfigDict

from benchmarks.common.frame_parts import build
from benchmarks.common.full_training import Training, step_config
from benchmarks.common.results import add_output_flag, describe_machine, write_results
from tpsm_jax.cli import ArgumentParser, add_dtype_flag, local_path_text, positive, run_script
from tpsm_jax.errors import InputError
from tpsm_jax.runtime.malloc import keep_freed_memory
from tpsm_jax.runtime.xla_flags_cpu import prepare_cpu
from tpsm_jax.runtime.xla_flags_gpu import prepare_gpu

# Kernels launched as one CUDA graph are recorded without their names.
KERNEL_BY_KERNEL = "--xla_gpu_enable_command_buffer="


def main() -> None:
    """Profiles, prints two tables, and writes the kernels as JSON."""
    args, overrides = parse_arguments()
    config = step_config(args, overrides)
    config.train_params.batch_size = args.batch_size
    if not args.training:
        keep_freed_memory()
    print(f"{describe_machine()}, batch {args.batch_size}, {args.dtype}")
    measured = (Training if args.training else Frames)(config)
    text = measured.program.as_text()
    measured.seconds(3)
    alone = measured.seconds(args.times) / args.times
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            measured.seconds(args.times)
        rows = by_kernel(events(folder), places(text), args.times)
    if not rows:
        raise InputError(f"the profile of this {jax.default_backend()} names no kernels")
    total = sum(row["ms"] for row in rows)
    print(f"{1e3 * alone:.2f} ms; profiled, {total:.2f} ms in {len(rows)} kernels, by place:")
    for place, ms in by_place(rows, args.depth):
        print(f"{ms:9.3f} ms {100 * ms / total:5.1f} %  {place}")
    print("the longest:")
    for row in rows[: args.longest]:
        print(f"{row['ms']:9.3f} ms  {row['kernel']}  {row['place']}  {row['shape']}")
    write_results(args.output, rows)
    if args.program:
        Path(args.program).write_text(text)


class Frames:
    """Frames of an encoded source, a batch at once.

    Attributes:
      program: the compiled program.
    """

    def __init__(self, config: ConfigDict):
        model, variables, (source, driving) = build(config)

        @jax.jit
        def animate(variables: Any, encoded: Any, frames: Any) -> Any:
            def generate(model: Any, encoded: Any, frames: Any) -> Any:
                return model.generate(encoded, model.kp_detector(frames))["prediction"]

            return model.apply(variables, encoded, frames, method=generate)

        encode = jax.jit(lambda *given: model.apply(*given, method="encode_source"))
        frames = jnp.tile(driving, (config.train_params.batch_size, 1, 1, 1))
        self._arguments = variables, encode(variables, source), frames
        self.program = animate.lower(*self._arguments).compile()

    def seconds(self, times: int) -> float:
        """Animates the batch `times` times, one after the other, and waits for the last."""
        start = time.perf_counter()
        for _ in range(times):
            made = self.program(*self._arguments)
        jax.block_until_ready(made)
        return time.perf_counter() - start


def events(folder: str) -> Iterator[tuple[str, str, float]]:
    """Reads a profile's events: operation of the program, kernel, seconds."""
    (path,) = Path(folder).glob("**/*.xplane.pb")
    planes = list(ProfileData.from_file(str(path)).planes)
    on_device = [plane for plane in planes if plane.name.startswith("/device:")]
    for plane in on_device or planes:
        for line in plane.lines:
            if on_device and not line.name.startswith("Stream"):
                continue  # sums over the streams
            for event in line.events:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of types of its own without a module
                    operation = dict(event.stats).get("hlo_op")
                if operation or on_device:
                    yield str(operation or ""), event.name, event.duration_ns / 1e9


def places(program: str) -> dict[str, tuple[str, str]]:
    """{operation: (where in the code it comes from, the shape of its result)} of a program."""
    line = re.compile(r'^\s*(?:ROOT )?%?([\w.-]+) = (\S+) .*metadata=\{.*?op_name="([^"]*)"', re.M)
    return {
        operation: (place, shape.partition("{")[0])
        for operation, shape, place in line.findall(program)
    }


def by_kernel(
    events: Iterator[tuple[str, str, float]], known: dict[str, tuple[str, str]], times: int
) -> list[dict[str, Any]]:
    """Returns a row for each operation and kernel, the longest first."""
    seconds: collections.Counter[tuple[str, str]] = collections.Counter()
    for operation, kernel, duration in events:
        seconds[operation, kernel] += duration
    return [
        {
            "ms": 1e3 * total / times,
            "kernel": kernel,
            "operation": operation,
            "place": known.get(operation, ("", ""))[0],
            "shape": known.get(operation, ("", ""))[1],
        }
        for (operation, kernel), total in seconds.most_common()
    ]


def by_place(rows: list[dict[str, Any]], depth: int) -> list[tuple[str, float]]:
    """Sums milliseconds by the first `depth` names of a place, the most first."""
    ms: collections.Counter[str] = collections.Counter()
    for row in rows:
        names = [name for name in row["place"].split("/") if not name.startswith("jit(")]
        backwards = any(name.startswith("transpose(") for name in names)
        bare = [re.sub(r"^(?:\w+\()+|\)+$", "", name) for name in names]
        where = "/".join(list(filter(None, bare))[:depth]) or "elsewhere"
        ms[f"{where}, backwards" if backwards else where] += row["ms"]
    return ms.most_common()


def parse_arguments() -> tuple[argparse.Namespace, list[str]]:
    """The flags, and overrides of the config."""
    parser = ArgumentParser(__doc__ + "\nOverrides of the config: --config.FIELD=VALUE")
    add = parser.add_argument
    add("--training", action="store_true", help="a training step, not a frame")
    add(
        "--config", type=local_path_text, default="configs/vox256.py", help="file with get_config()"
    )
    add("--batch_size", type=positive, default=1)
    add_dtype_flag(parser)
    add("--times", type=positive, default=3, help="runs that are profiled")
    add("--depth", type=positive, default=3, help="names of a place in the first table")
    add("--longest", type=positive, default=30, help="kernels in the second table")
    add_output_flag(parser)
    add("--program", type=local_path_text, help="file to write the compiled program to, as text")
    return parser.parse_known_args()


if __name__ == "__main__":
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {KERNEL_BY_KERNEL}".lstrip()
    prepare_gpu()
    if "--training" in sys.argv:
        prepare_cpu()
    run_script(main)
