"""Times the official code's reader of clips, on demand; benchmarks/data.py starts it.

Needs torch and a checkout of the official code, and of this project only benchmarks/official. It
reads clips as the official train.py does: FramesDataset with its augmentation, repeated, in torch's
DataLoader. Reads "seconds" from each line of standard input, draws batches for that long, and
answers "samples, seconds".
"""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.official.checkout import read_yaml, use_checkout, worker_parser


def main() -> None:
    """Prints the versions, then answers until input ends."""
    parser = worker_parser(__doc__)
    parser.add_argument("--data", required=True, help="root with train/ and test/")
    parser.add_argument("--batch_size", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    args = parser.parse_args()
    use_checkout(args.reference)
    from frames_dataset import DatasetRepeater, FramesDataset

    # An epoch over clips: the official id sampling finds only clips that are called .mp4.
    params = read_yaml(args.config)["dataset_params"]
    params |= {"root_dir": args.data, "id_sampling": False}
    with contextlib.redirect_stdout(sys.stderr):
        dataset = FramesDataset(is_train=True, **params)
    loader = torch.utils.data.DataLoader(
        DatasetRepeater(dataset, 10**6),
        batch_size=args.batch_size,
        # Shuffled as in train.py; the whole order of so many samples would fill the memory.
        sampler=torch.utils.data.RandomSampler(range(10**6)),
        num_workers=args.workers,
        drop_last=True,
    )
    print(f"torch {torch.__version__}, DataLoader with {args.workers} processes", flush=True)
    for line in sys.stdin:
        # A new one each time, or its processes would read ahead while others are timed.
        batches: Iterator[Any] = iter(loader)
        for _ in range(args.workers):
            next(batches)  # each process has started
        end = float(line) + (start := time.perf_counter())
        samples = 0
        while time.perf_counter() < end:
            samples += len(next(batches)["name"])
        seconds = time.perf_counter() - start
        del batches  # which ends its processes
        print(samples, seconds, flush=True)


if __name__ == "__main__":
    main()
