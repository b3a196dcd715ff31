"""Animates with the official PyTorch code, on demand; benchmarks/animate.py starts it.

Needs torch and a checkout of the official code, and of this project only benchmarks/official.
Reads a number of frames from each line of standard input, a multiple of the batch size, animates as
many, and answers "seconds, CPU seconds": the second is the time of all cores together.
"""

import sys
import time

import numpy as np
import torch

from benchmarks.official.checkout import build_networks, read_yaml, use_checkout, worker_parser
from benchmarks.official.timing import DEVICE
from benchmarks.official.variants import VARIANTS, eager


def main() -> None:
    """Loads the networks, prints how they run and how exactly, then answers until input ends."""
    parser = worker_parser(__doc__)
    parser.add_argument("--torch_checkpoint", help="x.pth.tar; random weights without")
    parser.add_argument("--size", type=int, nargs=2, required=True, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--variant", choices=VARIANTS, required=True)
    parser.add_argument("--batch_size", type=int, default=1)
    args = parser.parse_args()
    use_checkout(args.reference)
    params = read_yaml(args.config)["model_params"]
    built = build_networks(params, args.torch_checkpoint, background=False)
    detector, dense_motion, inpainting = (network.to(DEVICE).eval() for network in built.values())
    networks = detector, dense_motion, inpainting
    source, driving = smooth_pictures(*args.size)
    driving = np.repeat(driving[None], args.batch_size, axis=0)
    expected = eager(networks, source)[0](driving)
    animate, how = VARIANTS[args.variant](networks, source)
    difference = np.abs(animate(driving) - expected).max()
    print(f"{how}; largest difference from eager {difference:.1e}", flush=True)
    for line in sys.stdin:
        start, of_processors = time.perf_counter(), time.process_time()
        for _ in range(int(line) // args.batch_size):
            animate(driving)
        print(time.perf_counter() - start, time.process_time() - of_processors, flush=True)


def smooth_pictures(height: int, width: int) -> np.ndarray:
    """Makes a source and a driving picture, [2, height, width, 3] float32 in [0, 1]."""
    coarse = torch.from_numpy(np.random.default_rng(0).random((2, 3, 8, 8), np.float32))
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return fine.permute(0, 2, 3, 1).numpy()


if __name__ == "__main__":
    main()
