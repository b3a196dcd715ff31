r"""How long does each operation take, and how near does it come to the machine's limits?

  python -m benchmarks.ops
  python -m benchmarks.ops --reference CHECKOUT --reference_python PYTHON --only "grid sample"

Float32, batch 1, at the sizes of vox256, on whatever backend is there. With a checkout of the
official PyTorch code, and a Python that has torch, theirs is timed in turns with ours.
"""

import argparse
import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.common.op_cases import CASES, Case, flow, keypoints, noise
from benchmarks.common.reference import (
    ReferenceProcess,
    add_reference_flags,
    reference_command,
)
from benchmarks.common.results import add_output_flag, describe_machine, write_results
from benchmarks.common.roofline import Work, compiled, measure, print_rows, with_gradient
from tpsm_jax.cli import ArgumentParser, positive, run_script, seconds
from tpsm_jax.errors import InputError
from tpsm_jax.models.dense_motion import tps_warps
from tpsm_jax.nn.batch_norm import BatchNorm
from tpsm_jax.nn.instance_norm import InstanceNorm
from tpsm_jax.nn.layers import conv
from tpsm_jax.nn.upsample_conv import UpsampleConv
from tpsm_jax.ops.grid_sample import grid_sample
from tpsm_jax.ops.resample import antialias_downsample
from tpsm_jax.ops.thin_plate_spline import random_thin_plate_spline
from tpsm_jax.runtime.xla_flags_cpu import prepare_cpu
from tpsm_jax.runtime.xla_flags_gpu import prepare_gpu
from tpsm_jax.training.losses import transform_frame


def main() -> None:
    """Measures, prints a table, and writes it as JSON."""
    args = parse_arguments()
    numbers = {case.name: number for number, case in enumerate(CASES) if args.only in case.name}
    if not numbers:
        raise InputError(f"--only {args.only!r} is in no name: {', '.join(c.name for c in CASES)}")
    print(describe_machine())
    with contextlib.ExitStack() as stack:
        reference = None
        if args.reference:
            command = reference_command(args, "ops_worker")
            reference = stack.enter_context(ReferenceProcess(command))
            print(f"reference: {reference.name}")
        works = {name: work_of(CASES[number]) for name, number in numbers.items()}
        timing = {"rounds": args.rounds, "seconds": args.seconds}
        rows = measure(works, reference, numbers, **timing)
    print_rows(rows)
    write_results(args.output, rows)


def work_of(case: Case) -> Work:
    """The operation, with its gradient if the case asks for it."""
    function, arguments = make(case)
    if not case.gradient:
        return compiled(function, *arguments)
    wanted = {"all": range(len(arguments)), "picture": [0], "grid": [1]}[case.gradient]
    return with_gradient(function, wanted, *arguments)


def make(case: Case) -> tuple[Callable[..., Any], list[Any]]:
    """The operation, and its arguments, which it may be differentiated with respect to."""
    side, channels = case.side, case.channels
    picture = noise(0, 1, side, side, channels)
    if case.kind == "grid sample":
        return jax.vmap(grid_sample), [picture, flow(side)[None]]
    if case.kind == "11 warps of the source":
        warps = jnp.tile(flow(side), (11, 1, 1, 1))
        return jax.vmap(grid_sample, (None, 0)), [picture[0], warps]
    if case.kind == "10 splines, fit and grid":
        points = [keypoints(seed).reshape(1, -1, 2) for seed in range(2)]
        return lambda driving, source: tps_warps(driving, source, side, side), points
    if case.kind == "random spline, mirrored warp":

        def transform(image: jax.Array, rng: jax.Array) -> jax.Array:
            sizes = {"sigma_affine": 0.05, "sigma_tps": 0.005, "points_tps": 5}
            spline = jax.vmap(lambda rng: random_thin_plate_spline(rng, **sizes))(rng[None])
            return transform_frame(spline, image)

        return transform, [picture, jax.random.key(0)]
    if case.kind == "anti-alias":
        scale = float(case.detail)
        return lambda images: jax.vmap(lambda x: antialias_downsample(x, scale))(images), [picture]
    if case.kind == "softmax, weighted grids":

        def blend(logits: jax.Array, grids: jax.Array) -> jax.Array:
            weights = jnp.moveaxis(jax.nn.softmax(logits), -1, 1)[..., None]
            return jnp.sum(grids * weights, axis=1)

        return blend, [picture, jnp.tile(flow(side), (1, channels, 1, 1, 1))]
    return make_layer(case, picture)


def make_layer(case: Case, picture: Any) -> tuple[Callable[..., Any], list[Any]]:
    """A layer with weights, and its arguments."""
    relu: Callable[[Any], Any] = jax.nn.relu
    options: dict[str, Any] = {}
    if case.kind == "batch norm, relu":
        layer = BatchNorm()
        if case.detail == "training":
            options = {"train": True, "mutable": ["batch_stats"]}
            relu = lambda outputs: jax.nn.relu(outputs[0])  # noqa: E731
    elif case.kind == "instance norm, relu":
        layer = InstanceNorm()
    elif case.kind == "nearest x2, 3x3 conv":
        layer, relu = UpsampleConv(case.features), lambda x: x
    else:
        size = 7 if case.kind == "7x7 conv" else 3
        layer, relu = conv(case.channels, case.features, size), lambda x: x
    variables = layer.init(jax.random.key(0), picture)
    statistics = {key: value for key, value in variables.items() if key != "params"}

    def apply(image: Any, params: Any) -> Any:
        return relu(layer.apply({"params": params, **statistics}, image, **options))

    return apply, [picture, variables["params"]]


def parse_arguments() -> argparse.Namespace:
    """The flags."""
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add("--only", default="", help="run only operations with this in their name")
    add("--rounds", type=positive, default=7, help="turns of each code")
    add("--seconds", type=seconds, default=0.05, help="a turn lasts at least")
    add_reference_flags(parser, config=False)
    add_output_flag(parser)
    return parser.parse_args()


if __name__ == "__main__":
    prepare_gpu()
    prepare_cpu(join_loops=False)  # jaxlib 0.10.2 would abort on some of these programs
    run_script(main)
