r"""How long would a training step take on many chips?

  python -m benchmarks.studies.scaling
  python -m benchmarks.studies.scaling --chip h100 --chips 8 64 --samples 4 --share 0.4 \
      --latency 30e-6

A prediction from what the compiled step computes and exchanges. Each chip has the same number of
samples, so sums over the chips are all that more chips add. FLOP, bytes and sums are read from a
step compiled for simulated CPU devices; with --topology v5e:2x4 from one that a TPU's own compiler
made, which needs libtpu and no TPU.

  compute = FLOP a chip / (peak x share)
  moving = the sum over the tiers of a mesh (chips of a host, then hosts) of
    2 (n - 1) / n x bytes / bytes a second that a chip sends; a tier leaves each chip 1 / n of them
  least = max(compute + chain x latency, moving)      all is hidden that can be
  most = compute + sums x latency + moving            nothing is
  efficiency = compute / step

`sums` are the all-reduces of the program, `chain` the most of them that each need the result of the
one before: no compiler can join or hide those. docs/scaling.md has sources and results. That sums
and bytes do not depend on how many devices there are, studies/collectives.py shows.
"""

import argparse
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ml_collections import ConfigDict
from tqdm import tqdm

from benchmarks.common.compiled_step import lower_step, simulate_devices, topology_devices
from benchmarks.common.results import add_output_flag, write_results
from benchmarks.studies.collectives import collectives, kinds, longest_chain
from tpsm_jax.cli import ArgumentParser, local_path_text, positive, run_script
from tpsm_jax.config import apply_overrides, read_config
from tpsm_jax.errors import InputError
from tpsm_jax.runtime.compilation_cache import use_compilation_cache


class Tier(NamedTuple):
    """Chips, or groups of chips, that are linked alike.

    Attributes:
      size: how many chips or groups.
      bandwidth: bytes a second that each chip sends within the tier.
      latency: seconds that a sum of a small array over the tier takes.
    """

    size: int
    bandwidth: float
    latency: float


class StepCost(NamedTuple):
    """What a step costs one chip of any kind.

    Attributes:
      flops: FLOP of a sample.
      bytes: bytes of all arrays that are summed over the chips.
      arrays: the number of those arrays.
      sums: the number of all-reduces that they are in.
      chain: the most all-reduces that each need the one before.
    """

    flops: float
    bytes: int
    arrays: int
    sums: int
    chain: int


def main() -> None:
    """Prints the table, and writes it as JSON."""
    args, overrides = parse_arguments()
    devices = topology_devices(args.topology) if args.topology else simulate_devices(args.devices)
    use_compilation_cache()
    config = read_config(args.config)
    apply_overrides(config, overrides)
    cost = step_cost(config, devices, samples=args.samples[0])
    print(
        f"{args.config}, {config.compute_dtype}: {cost.flops / 1e12:.3f} TFLOP a sample; "
        f"{cost.arrays} arrays, {cost.bytes / 1e6:.1f} MB, summed by {cost.sums} all-reduces, "
        f"{cost.chain} of them one after the other\n"
    )
    rows = [
        predict(cost, chip, chips, samples, args)
        for chip in args.chip
        for samples in args.samples
        for chips in args.chips
    ]
    columns = [
        "chip", "chips", "samples_a_chip", "compute_ms", "moving_ms", "latency_us",
        "least_ms", "most_ms", "most_efficiency", "least_efficiency",
    ]  # fmt: skip
    print(table(rows, columns))
    write_results(args.output, rows)


def step_cost(config: ConfigDict, devices: list[Any], *, samples: int) -> StepCost:
    """Compiles the step, and reads what it costs.

    Args:
      config: the experiment.
      devices: simulated devices, or those of `topology_devices`.
      samples: samples a device.
    """
    step = lower_step(config, devices, samples=samples)
    forms = [True] if devices[0].platform == "tpu" else [False, True]
    programs = [
        step.compile(joined=joined)
        for joined in tqdm(forms, "compiling", unit="program", leave=False)
    ]
    texts = [compiled.as_text() for compiled in programs]
    arrays = collectives(texts[0])
    return StepCost(
        flops=step.flops(programs[0]) / samples,
        bytes=sum(array.size for array in arrays),
        arrays=len(arrays),
        sums=sum(row["count"] for row in kinds(texts[-1])),
        # A joined sum waits for the last of its arrays, so the chain is read from separate sums.
        chain=longest_chain(texts[0]),
    )


def predict(
    cost: StepCost, chip: str, chips: int, samples: int, args: argparse.Namespace
) -> dict[str, Any]:
    """Computes a row of the table by the module's formula."""
    peak, tiers_of = CHIPS[chip]
    tiers = tiers_of(chips)
    latency = sum(tier.latency for tier in tiers)
    if args.bandwidth:
        tiers = [Tier(chips, args.bandwidth, latency)]
    if args.latency is not None and chips > 1:
        latency = args.latency
    compute = samples * cost.flops / ((args.flops or peak) * args.share)
    moving = sum_seconds(cost.bytes, tiers)
    least = max(compute + cost.chain * latency, moving)
    most = compute + cost.sums * latency + moving
    return {
        "chip": chip,
        "chips": chips,
        "samples_a_chip": samples,
        "compute_ms": 1e3 * compute,
        "moving_ms": 1e3 * moving,
        "latency_us": 1e6 * latency,
        "least_ms": 1e3 * least,
        "most_ms": 1e3 * most,
        "most_efficiency": compute / least,
        "least_efficiency": compute / most,
        "share": args.share,
        "peak": args.flops or peak,
        **cost._asdict(),
    }


def sum_seconds(size: float, tiers: Iterable[Tier]) -> float:
    """The time that the bytes of a sum over all chips take, by a ring in each tier.

    Args:
      size: bytes on each chip.
      tiers: the innermost first; each chip passes its share of a tier's sum to the next.
    """
    seconds = 0.0
    for tier in tiers:
        seconds += 2 * (tier.size - 1) / tier.size * size / tier.bandwidth
        size /= tier.size
    return seconds


def v5e_tiers(chips: int) -> list[Tier]:
    """A slice of a v5e pod: a grid of chips, in which rows and columns of 16 are rings."""
    shapes = {1: (1, 1), 4: (2, 2), 8: (2, 4), 16: (4, 4), 32: (4, 8), 64: (8, 8), 128: (8, 16)}
    shape = {**shapes, 256: (16, 16)}.get(chips)
    if shape is None:
        raise InputError(f"there is no v5e slice of {chips} chips: take 1, 4, 8, 16 ... or 256")
    # 400 GB/s a chip over 4 links, both ways; a line that is no ring can use only half.
    bandwidth = sum(100e9 if side == 16 else 50e9 for side in shape)
    # A microsecond from chip to chip, there and back.
    hops = sum(side // 2 if side == 16 else side - 1 for side in shape)
    return [Tier(chips, bandwidth, 2 * hops * 1e-6)]


def h100_tiers(chips: int) -> list[Tier]:
    """Hosts of 8 H100 with NVLink, and an adapter of 400 Gbit/s for each of these."""
    if chips > 8 and chips % 8:
        raise InputError(f"{chips} H100 are no whole hosts of 8")
    inside, hosts = min(chips, 8), max(chips // 8, 1)
    # NCCL's own estimate for small arrays, in its src/graph/tuning.cc: tree, protocol LL.
    latency = 6.8e-6 + 2 * (inside - 1) * 0.6e-6 if chips > 1 else 0.0
    return [
        Tier(inside, 450e9, latency),
        Tier(hosts, 50e9, 2 * math.log2(hosts) * 5e-6),
    ]


# Each chip's dense bfloat16 FLOP/s, and the tiers that link a number of them.
CHIPS: dict[str, tuple[float, Callable[[int], list[Tier]]]] = {
    "v5e": (197e12, v5e_tiers),
    "h100": (989e12, h100_tiers),
}


def table(rows: list[dict[str, Any]], columns: list[str]) -> str:
    """Formats rows as a Markdown table."""
    head = [" | ".join(columns), " | ".join("---" for _ in columns)]
    lines = [" | ".join(cell(row[column]) for column in columns) for row in rows]
    return "\n".join(f"| {line} |" for line in (*head, *lines))


def cell(value: float | int | str) -> str:
    """Formats a value; floats with three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def parse_arguments() -> tuple[argparse.Namespace, list[str]]:
    """The flags, and overrides of the config."""
    parser = ArgumentParser(__doc__ + "\nOverrides of the config: --config.FIELD=VALUE")
    add = parser.add_argument
    add(
        "--config", type=local_path_text, default="configs/vox256.py", help="file with get_config()"
    )
    add("--chip", nargs="+", choices=sorted(CHIPS), default=["v5e", "h100"])
    add("--chips", type=positive, nargs="+", default=[8, 64, 256], help="numbers of chips")
    add("--samples", type=positive, nargs="+", default=[2], help="samples a chip")
    add("--share", type=float, default=0.3, help="assumed share of the peak that computing reaches")
    add("--flops", type=float, help="peak FLOP/s of a chip; the published one by default")
    add("--bandwidth", type=float, help="bytes a second that a chip sends, in one ring of all")
    add("--latency", type=float, help="seconds that a sum of a small array takes")
    add("--devices", type=positive, default=8, help="simulated, to compile for")
    add("--topology", help="TPU slice to compile for instead, such as v5e:2x4")
    add_output_flag(parser)
    return parser.parse_known_args()


if __name__ == "__main__":
    run_script(main)
