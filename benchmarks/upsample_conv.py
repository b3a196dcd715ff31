"""Times both forms of `UpsampleConv` at the sizes the vox model uses, on whatever backend is there.

    python benchmarks/upsample_conv.py [--batch 1] [--dtype float32]

Decides `PHASES_PAY_FROM` in tpsm_jax/nn/upsample_conv.py: the number of input pixels from which
the ratio stays above 1.
"""

import argparse
import shlex
import statistics
import sys
import time

import jax
import jax.numpy as jnp
from measuring import describe_machine, write_results

from tpsm_jax.nn.upsample_conv import UpsampleConv

# (side of the input, channels in, channels out): hourglass, mask branch, inpainting decoder.
SIZES = [
    (2, 1024, 1024), (4, 2048, 512), (8, 1024, 256), (16, 512, 128), (32, 256, 64),
    (64, 148, 74), (128, 74, 37),
    (32, 512, 256), (64, 512, 128), (128, 256, 64),
]  # fmt: skip
RUNS = 9


def main() -> None:
    """Measures every size and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--output", help="JSON file to write the table to")
    args = parser.parse_args()

    print(f"{describe_machine()}, batch {args.batch}, {args.dtype}")
    rows = []
    print(f"{'input':>22} {'upsample ms':>12} {'phases ms':>10} {'ratio':>6}")
    for side, channels, features in SIZES:
        x = jax.random.normal(jax.random.key(0), (args.batch, side, side, channels))
        plain, phases = measure(x, features, jnp.dtype(args.dtype))
        size = f"{args.batch}x{side}x{side}x{channels} -> {features}"
        print(f"{size:>22} {plain * 1e3:12.2f} {phases * 1e3:10.2f} {plain / phases:6.2f}")
        times = {"upsample_seconds": plain, "phases_seconds": phases, "ratio": plain / phases}
        rows.append({"input": size, "dtype": args.dtype, **times})
    write_results(args.output, command=f"python {shlex.join(sys.argv)}", rows=rows)


def measure(x: jax.Array, features: int, dtype: jnp.dtype) -> tuple[float, float]:
    """Median seconds of the plain form and of the phases, run in turn."""
    compiled = []
    for form in ("upsample", "phases"):
        module = UpsampleConv(features, form=form, dtype=dtype)
        variables = module.init(jax.random.key(1), x)
        compiled.append((jax.jit(module.apply), variables))
        jax.block_until_ready(compiled[-1][0](variables, x))
    seconds: list[list[float]] = [[], []]
    for _ in range(RUNS):
        for times, (function, variables) in zip(seconds, compiled, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(function(variables, x))
            times.append(time.perf_counter() - start)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


if __name__ == "__main__":
    main()
