"""The official code's reader of clips, timed on demand; see data.py beside.

Needs torch and a checkout of the official code, and nothing of this project. It reads as the
official train.py does: FramesDataset with its augmentation, repeated, in torch's DataLoader. Reads
"seconds" a line from the standard input, draws batches for so long, and answers "samples, seconds".
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch
import yaml

from benchmarks.official.animation_worker import define_missing_operators


def main() -> None:
    """Says the versions, then reads until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", required=True, help="the checkout")
    parser.add_argument("--config", required=True, help="YAML of the official code")
    parser.add_argument("--data", required=True, help="root with train/ and test/")
    parser.add_argument("--batch_size", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    args = parser.parse_args()
    sys.path.insert(0, args.reference)
    define_missing_operators()
    from frames_dataset import DatasetRepeater, FramesDataset

    with open(args.config) as file:
        params = yaml.safe_load(file)["dataset_params"]
    # An epoch over clips: its id sampling finds none but those that are called .mp4.
    params |= {"root_dir": args.data, "id_sampling": False}
    with contextlib.redirect_stdout(sys.stderr):
        dataset = FramesDataset(is_train=True, **params)
    loader = torch.utils.data.DataLoader(
        DatasetRepeater(dataset, 10**6),
        batch_size=args.batch_size,
        # As train.py shuffles; of so many samples the order of all would fill the memory.
        sampler=torch.utils.data.RandomSampler(range(10**6)),
        num_workers=args.workers,
        drop_last=True,
    )
    print(f"torch {torch.__version__}, DataLoader with {args.workers} processes", flush=True)
    for line in sys.stdin:
        # Anew, or its processes would read ahead while others are timed.
        batches: Iterator[Any] = iter(loader)
        for _ in range(args.workers):
            next(batches)  # each of them is at work
        end = float(line) + (start := time.perf_counter())
        samples = 0
        while time.perf_counter() < end:
            samples += len(next(batches)["name"])
        seconds = time.perf_counter() - start
        del batches  # which ends its processes
        print(samples, seconds, flush=True)


if __name__ == "__main__":
    main()
