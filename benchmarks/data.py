r"""How many samples a second does the reader hand out: prepared, from PNG folders, from mp4?

  python -m benchmarks.data
  python -m benchmarks.data --data DIR --reference CHECKOUT --reference_python PYTHON

The same clips in each form: puppets drawn here, or those of --data, at one size. A sample is two
decoded frames of a clip; batches go to the consumer, as in training. The official code augments
its pictures in the loader, this one on the accelerator within the training step. So there is a
second figure, for which this machine's processor augments too. With a checkout of the official
PyTorch code, and a Python that has torch, the official reader is timed in turns with ours.
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
from tqdm import tqdm

from benchmarks.common.memory import peak_rss_mib
from benchmarks.common.reference import (
    ROOT,
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
from configs.base import get_base_config
from data.fitting import fit
from data.folder import SPLITS
from data.loader import ClipDataset, open_dataset
from data.puppets.data_set import draw_clips
from data.roots import RootOptions, root_kind
from tpsm_jax.cli import ArgumentParser, local_path, run_script
from tpsm_jax.media.video_writer import FrameWriter
from tpsm_jax.training.augment import augment

FORMS = ("prepared", "png", "mp4")  # the reference reads the last two
FPS = 25


def main() -> None:
    """Makes the clips, measures, prints a table, and writes it as JSON."""
    args = parse_arguments()
    make_forms(args)
    ours = {form: Reader(args.folder / form, args) for form in FORMS}
    print(describe_machine(), ours["prepared"].dataset.describe(), sep="\n")
    with contextlib.ExitStack() as stack:
        theirs: dict[str, ReferenceProcess] = {}
        for form in FORMS[1:] if args.reference else ():
            process = ReferenceProcess(command_of(args, form))
            theirs[form] = stack.enter_context(process)
            print(f"reference, {form}: {process.name}")
        rates = measure(ours, theirs, args)
    print_table(rates)
    rows = [row(name, values, args) for name, values in rates.items()]
    for form in FORMS:
        size = folder_bytes(args.folder / form) / 2**20
        print(f"{form:20} {size:8.1f} MiB on disk")
        rows.append({"name": f"{form} on disk", "mib": size})
    rows.append({"name": "peak memory of ours", "mib": peak_rss_mib()})
    rows += headlines(rates)
    write_results(args.output, rows)


class Reader:
    """The project's reader of one form of the clips."""

    def __init__(self, path: Path, args: argparse.Namespace):
        config = get_base_config()
        config.image_size = (args.size, args.size)
        config.dataset.path = str(path)
        config.dataset_params.id_sampling = False
        self.dataset: ClipDataset = open_dataset(config)
        self._sizes = {"batch_size": args.batch_size, "num_repeats": 1000}
        self._workers = args.workers
        self._step = 0
        params = config.dataset_params.augmentation_params
        self._augment = jax.jit(lambda rng, *pair: augment(rng, *pair, params))

    def rate(self, seconds: float, *, augmented: bool) -> float:
        """Reads for a while, and returns samples a second.

        Args:
          seconds: how long to read; the threads start before.
          augmented: whether flips and jitter follow, on JAX's device.
        """
        given = {"seed": 0, "start_step": self._step, "workers": self._workers}
        with self.dataset.batches(**self._sizes, **given) as batches:
            self._take(batches, augmented)  # starts the threads, compiles the program
            start, samples = time.perf_counter(), 0
            while time.perf_counter() - start < seconds:
                samples += self._take(batches, augmented)
            return samples / (time.perf_counter() - start)

    def _take(self, batches: Any, augmented: bool) -> int:
        batch = next(batches)
        self._step += 1
        if augmented:
            rng = jax.random.fold_in(jax.random.key(0), self._step)
            jax.block_until_ready(self._augment(rng, batch["source"], batch["driving"]))
        return len(batch["name"])


def measure(
    ours: dict[str, Reader], theirs: dict[str, ReferenceProcess], args: argparse.Namespace
) -> dict[str, list[float]]:
    """Times every reader in turns; returns samples a second of every row, a value a round."""
    rates: dict[str, list[float]] = {}
    for _ in range(args.rounds):
        for form, reader in ours.items():
            for augmented in (False, True):
                rate = reader.rate(args.seconds, augmented=augmented)
                rates.setdefault(f"{form}{', augmented' * augmented}", []).append(rate)
        for form, process in theirs.items():
            samples, seconds = process.ask(2 * args.seconds)  # it is slow
            rates.setdefault(f"reference {form}", []).append(samples / seconds)
    return rates


def make_forms(args: argparse.Namespace) -> None:
    """Writes the clips as PNG folders, as mp4, and prepared; keeps what is there already."""
    png, mp4, prepared = (args.folder / form for form in ("png", "mp4", "prepared"))
    if not png.exists():
        if args.data is None:
            numbers = {"clips": args.clips, "frames": args.frames, "size": args.size}
            draw_clips(png, SPLITS, **numbers)
        else:
            for split in SPLITS:
                write_clips(args.data, split, png, "/", args.size)
    if not mp4.exists():
        for split in SPLITS:
            write_clips(png, split, mp4, ".mp4", args.size)
    if not prepared.exists():
        command = [sys.executable, "-m", "data.prepare", "--dataset", "clips"]
        command += ["--input", png.absolute(), "--output", prepared.absolute()]
        subprocess.run([*command, "--size", str(args.size)], cwd=ROOT, check=True)


def write_clips(root: Path, split: str, output: Path, ending: str, size: int) -> None:
    """Writes the clips of a split again, at the size that training reads them at."""
    options = RootOptions((size, size))
    clips = root_kind(root, options).find(root, split, options)
    (output / split).mkdir(parents=True)
    for clip in tqdm(clips, f"writing {output}", unit="clip"):
        with FrameWriter(f"{output}/{split}/{Path(clip.name).stem}{ending}", fps=FPS) as writer:
            for frame in clip.frames():
                writer.write(fit(frame, (size, size)))


def folder_bytes(folder: Path) -> int:
    """The bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def command_of(args: argparse.Namespace, form: str) -> list[str]:
    """The command that starts the official reader."""
    command = reference_command(args, "data_worker")
    command += ["--config", official_config(args), "--data", absolute(args.folder / form)]
    return [*command, "--batch_size", str(args.batch_size), "--workers", str(args.workers)]


def print_table(rates: dict[str, list[float]]) -> None:
    """Prints medians, extremes, and how many times as fast as the reference."""
    for name, values in rates.items():
        median = statistics.median(values)
        line = f"{name:20} {median:8.1f} samples/s ({min(values):.1f} to {max(values):.1f})"
        for form in FORMS[1:]:
            if f"reference {form}" in rates and not name.startswith("reference"):
                ratio = median / statistics.median(rates[f"reference {form}"])
                line += f", {ratio:6.1f} x reference {form}"
        print(line)


def row(name: str, rates: list[float], args: argparse.Namespace) -> dict[str, Any]:
    """A row of the JSON file."""
    return {
        "name": name,
        **spread("samples_a_second", rates),
        "workers": args.workers,
        "batch_size": args.batch_size,
        "size": args.size,
    }


def headlines(rates: dict[str, list[float]]) -> list[dict[str, Any]]:
    """How many times as fast as the reference ours reads the same form, and the prepared one."""
    found = []
    for ours, form in (("prepared", "png"), ("png", "png"), ("mp4", "mp4")):
        if f"reference {form}" not in rates:
            continue
        theirs = rates[f"reference {form}"]
        ratios = [a / b for a, b in zip(rates[ours], theirs, strict=True)]
        question = f"reading clips: {ours}, compared with {form}"
        medians = statistics.median(rates[ours]), statistics.median(theirs)
        found.append(headline(question, "samples/s", *medians, ratios))
    return found


def parse_arguments() -> argparse.Namespace:
    """The flags."""
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add(
        "--data",
        type=local_path,
        help="clips to measure on, as for training; else puppets are drawn",
    )
    add(
        "--folder",
        type=local_path,
        help="where the forms are written and kept (runs/bench_data/NAME)",
    )
    add("--clips", type=int, default=20, help="puppets to draw")
    add("--frames", type=int, default=128, help="frames of each puppet")
    add("--size", type=int, default=256, help="side in pixels")
    add("--workers", type=int, default=2, help="threads, and processes of the reference")
    add("--batch_size", type=int, default=8)
    add("--rounds", type=int, default=5, help="turns of each reader")
    add("--seconds", type=float, default=3, help="length of a turn; twice that for the reference")
    add_reference_flags(parser)
    add_output_flag(parser)
    args = parser.parse_args()
    name = args.data.resolve().name if args.data else "puppets"
    args.folder = args.folder or Path("runs/bench_data") / name
    return args


if __name__ == "__main__":
    run_script(main)
