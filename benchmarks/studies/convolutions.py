"""Which form of a convolution is fastest, at which of vox256's sizes, on this backend?

    python -m benchmarks.studies.convolutions [--batch 1] [--dtype float32]

On a CPU it sets tpsm_jax/backends/thresholds.py: a form is used
where the ratio is well above 1. On other backends it times the forms of common/gpu_forms.py.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.common import gpu_forms
from benchmarks.common.results import add_output_flag, describe_machine, write_results
from tpsm_jax.backends.plain_convolution import convolve_plain
from tpsm_jax.backends.upsample_conv import upsample_conv_by_products, upsample_then_convolve
from tpsm_jax.backends.winograd import winograd
from tpsm_jax.cli import ArgumentParser, add_dtype_flag, positive, run_script
from tpsm_jax.runtime.malloc import keep_freed_memory

# (side of the input, channels in, channels out): hourglass, mask branch, inpainting decoder.
UPSAMPLED = [
    (2, 1024, 1024), (4, 2048, 512), (8, 1024, 256), (16, 512, 128), (32, 256, 64),
    (64, 148, 74), (128, 74, 37),
    (32, 512, 256), (64, 512, 128), (128, 256, 64),
]  # fmt: skip
# The same of plain 3x3 convolutions: ResNet-18, hourglass, inpainting decoder and encoder.
PLAIN = [
    (8, 512, 512), (16, 256, 256), (32, 128, 128), (64, 64, 64),
    (8, 512, 1024), (16, 256, 512), (32, 128, 256), (64, 84, 128),
    (32, 512, 512), (64, 512, 512), (128, 256, 256),
    (64, 256, 512), (128, 128, 256), (256, 64, 128),
]  # fmt: skip
# (side, channels in, channels out, side of the kernel): masks, contribution maps, the picture;
# first layers, and others whose channels are no multiple of eight.
ODD = [
    (32, 212, 1, 7), (64, 148, 1, 7), (128, 74, 1, 7), (256, 37, 1, 7), (64, 148, 11, 7),
    (256, 64, 3, 7), (256, 3, 64, 7), (256, 3, 64, 3), (64, 84, 128, 3),
]  # fmt: skip


def main() -> None:
    """Measures every size, prints tables, and writes them as JSON."""
    parser = ArgumentParser(__doc__)
    parser.add_argument("--batch", type=positive, default=1, help="pictures at once")
    add_dtype_flag(parser)
    parser.add_argument("--rounds", type=positive, default=9, help="turns of each form")
    add_output_flag(parser)
    args = parser.parse_args()
    keep_freed_memory()
    print(f"{describe_machine()}, batch {args.batch}, {args.dtype}")
    on_cpu = jax.default_backend() == "cpu"
    forms = ("upsample", "products" if on_cpu else "subpixels")
    rows = measure("nearest x2, 3x3 conv", UPSAMPLED, upsampling, forms, args)
    if not on_cpu:
        rows += measure("odd", ODD, odd, ("XLA", "by columns, in eights"), args)
    else:
        rows += measure("3x3 conv", PLAIN, plain, ("XLA", "Winograd"), args)
        rows += measure("gradient of the input", PLAIN, turned, ("XLA", "Winograd"), args)
    write_results(args.output, rows)


def upsampling(
    form: Any, x: jax.Array, features: int
) -> tuple[Callable[[Any, jax.Array], jax.Array], Any]:
    """A form of an up-convolution, and its kernel."""
    compute = {
        "upsample": upsample_then_convolve,
        "products": upsample_conv_by_products,
        "subpixels": gpu_forms.upsample_and_convolve,
    }[form]

    def apply(kernel: jax.Array, x: jax.Array) -> jax.Array:
        return compute(x, kernel if form == "subpixels" else kernel.astype(x.dtype))

    return jax.jit(apply), jax.random.normal(jax.random.key(1), (3, 3, x.shape[-1], features))


def plain(
    form: str, x: jax.Array, features: int
) -> tuple[Callable[[Any, jax.Array], jax.Array], Any]:
    """A form of a convolution, and its kernel."""

    def apply(kernel: jax.Array, x: jax.Array) -> jax.Array:
        kernel = kernel.astype(x.dtype)
        return winograd(x, kernel) if form == "Winograd" else convolve_plain(x, kernel, 1, 1)

    return jax.jit(apply), jax.random.normal(jax.random.key(1), (3, 3, x.shape[-1], features))


def odd(
    form: str, x: jax.Array, features: int, size: int
) -> tuple[Callable[[Any, jax.Array], jax.Array], Any]:
    """A form of a convolution of any size, and its kernel."""

    def apply(kernel: jax.Array, x: jax.Array) -> jax.Array:
        kernel = kernel.astype(x.dtype)
        if form == "XLA":
            return convolve_plain(x, kernel, 1, size // 2)
        return gpu_forms.convolve(x, kernel, size // 2)

    return jax.jit(apply), jax.random.normal(jax.random.key(1), (size, size, x.shape[-1], features))


def turned(
    form: str, gradient: jax.Array, channels: int
) -> tuple[Callable[[Any, jax.Array], jax.Array], Any]:
    """A form of the gradient with respect to a convolution's input, and its kernel."""

    def apply(kernel: jax.Array, gradient: jax.Array) -> jax.Array:
        kernel = kernel.astype(gradient.dtype)
        if form == "Winograd":
            return winograd(gradient, kernel, transposed=True)
        x = jax.ShapeDtypeStruct((*gradient.shape[:3], channels), gradient.dtype)
        return jax.linear_transpose(lambda x: convolve_plain(x, kernel, 1, 1), x)(gradient)[0]

    kernel = jax.random.normal(jax.random.key(1), (3, 3, channels, gradient.shape[-1]))
    return jax.jit(apply), kernel


def measure(
    name: str,
    sizes: Sequence[tuple[int, ...]],
    make: Callable[..., tuple[Callable[..., jax.Array], Any]],
    forms: tuple[str, str],
    args: argparse.Namespace,
) -> list[dict[str, Any]]:
    """Times both forms in turns; returns median ms, and how far results differ, a row a size."""
    heads = [f"{form}, ms" for form in forms]
    print(f"\n{name:>26} {heads[0]:>14} {heads[1]:>26} {'ratio':>6} difference of the largest")
    rows = []
    repeats = 1 if jax.default_backend() == "cpu" else 20  # an accelerator is to be kept busy
    for side, channels, *more in sizes:
        x = jax.random.normal(jax.random.key(0), (args.batch, side, side, channels), args.dtype)
        compiled = [make(form, x, *more) for form in forms]
        runs = [functools.partial(run, weights, x) for run, weights in compiled]
        seconds: list[list[float]] = [[], []]
        for turn in range(1 + args.rounds):
            for times, run in zip(seconds, runs, strict=True):
                start = time.perf_counter()
                for _ in range(repeats):
                    result = run()
                jax.block_until_ready(result)
                if turn > 0:  # the first compiles
                    times.append((time.perf_counter() - start) / repeats)
        medians = [1e3 * statistics.median(times) for times in seconds]
        ratio = statistics.median(a / b for a, b in zip(*seconds, strict=True))
        size = f"{side}x{side}x{channels} -> {', '.join(map(str, more))}"
        made, other = (run().astype(jnp.float32) for run in runs)
        difference = float(jnp.abs(made - other).max() / jnp.abs(made).max())
        line = f"{size:>26} {medians[0]:14.3f} {medians[1]:26.3f} {ratio:6.2f} {difference:.1e}"
        print(line, flush=True)
        forms_ms = {f"{form}_ms": each for form, each in zip(forms, medians, strict=True)}
        rows.append(
            {"name": f"{name} {size}", **forms_ms, "ratio": ratio, "difference": difference}
        )
    return rows


if __name__ == "__main__":
    run_script(main)
