"""Times the forms of 3x3 convolutions at the sizes of vox256, on whatever backend is there.

    python benchmarks/convolutions.py [--batch 1] [--dtype float32]

Decides `PRODUCTS_PAY_FROM` in tpsm_jax/nn/upsample_conv.py and `WINOGRAD_PIXELS` and
`WINOGRAD_CHANNELS` in tpsm_jax/nn/convolution.py: where the ratio is well above 1.
"""

import argparse
import functools
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
from measuring import describe_machine, write_results

from tpsm_jax.cpu_memory import keep_freed_memory
from tpsm_jax.errors import ArgumentParser, positive, run_script
from tpsm_jax.nn.plain_convolution import convolve_plainly
from tpsm_jax.nn.upsample_conv import UpsampleConv
from tpsm_jax.nn.winograd import winograd

# (side of the input, channels in, channels out): hourglass, mask branch, inpainting decoder.
UPSAMPLED = [
    (2, 1024, 1024), (4, 2048, 512), (8, 1024, 256), (16, 512, 128), (32, 256, 64),
    (64, 148, 74), (128, 74, 37),
    (32, 512, 256), (64, 512, 128), (128, 256, 64),
]  # fmt: skip
# Likewise: ResNet-18, hourglass, inpainting decoder and encoder.
PLAIN = [
    (8, 512, 512), (16, 256, 256), (32, 128, 128), (64, 64, 64),
    (8, 512, 1024), (16, 256, 512), (32, 128, 256), (64, 84, 128),
    (32, 512, 512), (64, 512, 512), (128, 256, 256),
    (64, 256, 512), (128, 128, 256), (256, 64, 128),
]  # fmt: skip


def main() -> None:
    """Measures every size, prints two tables, and writes them as JSON."""
    parser = ArgumentParser(__doc__)
    parser.add_argument("--batch", type=positive, default=1)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--rounds", type=positive, default=9)
    parser.add_argument("--output", help="JSON file to write")
    args = parser.parse_args()
    keep_freed_memory()
    print(f"{describe_machine()}, batch {args.batch}, {args.dtype}")
    rows = measure("nearest x2, 3x3 conv", UPSAMPLED, upsampling, ("upsample", "products"), args)
    if args.dtype == "float32":  # Winograd's is for that alone
        rows += measure("3x3 conv", PLAIN, plain, ("XLA", "Winograd"), args)
        rows += measure("gradient of the input", PLAIN, turned, ("XLA", "Winograd"), args)
    write_results(args.output, command=f"python {shlex.join(sys.argv)}", rows=rows)


def upsampling(
    form: Any, x: jax.Array, features: int
) -> tuple[Callable[[Any, jax.Array], jax.Array], Any]:
    """A form of `UpsampleConv`, and its variables."""
    module = UpsampleConv(features, form=form, dtype=x.dtype)
    return jax.jit(module.apply), module.init(jax.random.key(1), x)


def plain(
    form: str, x: jax.Array, features: int
) -> tuple[Callable[[Any, jax.Array], jax.Array], Any]:
    """A form of a convolution, and its kernel."""

    def apply(kernel: jax.Array, x: jax.Array) -> jax.Array:
        return winograd(x, kernel) if form == "Winograd" else convolve_plainly(x, kernel, 1, 1)

    return jax.jit(apply), jax.random.normal(jax.random.key(1), (3, 3, x.shape[-1], features))


def turned(
    form: str, gradient: jax.Array, channels: int
) -> tuple[Callable[[Any, jax.Array], jax.Array], Any]:
    """What a gradient goes through backwards: as `plain`, with the kernel turned."""

    def apply(kernel: jax.Array, gradient: jax.Array) -> jax.Array:
        if form == "Winograd":
            return winograd(gradient, kernel, transposed=True)
        x = jax.ShapeDtypeStruct((*gradient.shape[:3], channels), gradient.dtype)
        return jax.linear_transpose(lambda x: convolve_plainly(x, kernel, 1, 1), x)(gradient)[0]

    kernel = jax.random.normal(jax.random.key(1), (3, 3, channels, gradient.shape[-1]))
    return jax.jit(apply), kernel


def measure(
    name: str,
    sizes: list[tuple[int, int, int]],
    make: Callable[..., tuple[Callable[..., jax.Array], Any]],
    forms: tuple[str, str],
    args: argparse.Namespace,
) -> list[dict[str, Any]]:
    """Median milliseconds of both forms, run in turns; a row a size."""
    print(f"\n{name:>26} {forms[0] + ', ms':>14} {forms[1] + ', ms':>14} {'ratio':>6}")
    rows = []
    for side, channels, features in sizes:
        x = jax.random.normal(jax.random.key(0), (args.batch, side, side, channels), args.dtype)
        compiled = [make(form, x, features) for form in forms]
        runs = [functools.partial(run, weights, x) for run, weights in compiled]
        seconds: list[list[float]] = [[], []]
        for turn in range(1 + args.rounds):
            for times, run in zip(seconds, runs, strict=True):
                start = time.perf_counter()
                jax.block_until_ready(run())
                if turn > 0:  # the first compiles
                    times.append(time.perf_counter() - start)
        medians = [1e3 * statistics.median(times) for times in seconds]
        ratio = statistics.median(a / b for a, b in zip(*seconds, strict=True))
        size = f"{side}x{side}x{channels} -> {features}"
        print(f"{size:>26} {medians[0]:14.2f} {medians[1]:14.2f} {ratio:6.2f}", flush=True)
        forms_ms = {f"{form}_ms": each for form, each in zip(forms, medians, strict=True)}
        rows.append({"name": f"{name} {size}", **forms_ms, "ratio": ratio})
    return rows


if __name__ == "__main__":
    run_script(main)
