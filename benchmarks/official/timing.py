"""Times functions of the official code on demand."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def synchronize() -> None:
    """Waits for the GPU if there is one."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def answer_with_seconds(runs: Sequence[Callable[[], Any]]) -> None:
    """Prints the versions; then answers each line "number, count" with the seconds of the runs."""
    torch.backends.cudnn.allow_tf32 = False  # the project's are float32 throughout, too
    print(f"torch {torch.__version__} on {DEVICE}, {torch.get_num_threads()} threads", flush=True)
    for line in sys.stdin:
        number, count = map(int, line.split())
        synchronize()
        start = time.perf_counter()
        for _ in range(count):
            runs[number]()
        synchronize()
        print(time.perf_counter() - start, flush=True)
