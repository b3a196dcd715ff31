"""Trains with the official PyTorch code, on demand; benchmarks/train_step.py starts it.

Needs torch and a checkout of the official code, and of this project only benchmarks/official and
common/memory.py. It runs the official loop itself; its data loader is replaced by one that hands
out the same batch on the device whenever it is asked to. Reads "batch size, steps" from each line
of standard input, takes as many steps, and answers "seconds, peak memory of the process in MiB,
of the GPU in MiB".
"""

import contextlib
import sys
import time
import types
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch

from benchmarks.common.memory import peak_rss_mib
from benchmarks.official.checkout import build_networks, read_yaml, use_checkout, worker_parser
from benchmarks.official.timing import DEVICE, synchronize


def main() -> None:
    """Prints the versions, then trains until input ends."""
    parser = worker_parser(__doc__)
    parser.add_argument("--size", type=int, nargs=2, required=True, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--variant", default="eager", help="see train_step.py")
    args = parser.parse_args()
    variant = set(args.variant.split(","))
    use_checkout(args.reference)
    config = read_yaml(args.config)
    # The first epoch, which has dropout, is to have the background predictor, too.
    config["train_params"] |= {"bg_start": 0, "num_epochs": 1}
    torch.backends.cudnn.benchmark = variant != {"eager"}
    print(describe(variant), flush=True)

    networks = build_networks(config["model_params"])
    channels_last = "channels_last" in variant
    memory = torch.channels_last if channels_last else torch.contiguous_format
    for network in networks.values():
        network.to(DEVICE, memory_format=memory)
    loop = Loop(*args.size, memory, variant)
    with loop.official() as train:
        train(
            config,
            networks["inpainting_network"],
            networks["kp_detector"],
            networks.get("bg_predictor"),
            networks["dense_motion_network"],
            checkpoint=None,
            log_dir=None,
            dataset=None,
        )


def describe(variant: set[str]) -> str:
    """The version, the device, and how it computes."""
    tf32 = DEVICE.type == "cuda" and torch.backends.cudnn.allow_tf32
    how = [
        "torch.compile" if "compile" in variant else "eager",
        *(["channels_last"] if "channels_last" in variant else []),
        "bfloat16 autocast"
        if "bfloat16" in variant
        else "TF32 convolutions"
        if tf32
        else "float32",
    ]
    threads = torch.get_num_threads()
    return f"torch {torch.__version__} on {DEVICE}, {threads} threads, {', '.join(how)}"


class Loop:
    """Runs the official loop, and stands in for its data loader: an epoch without end."""

    def __init__(
        self, height: int, width: int, memory_format: torch.memory_format, variant: set[str]
    ):
        self._size, self._memory_format, self._variant = (height, width), memory_format, variant

    def __call__(self, *_: Any, **__: Any) -> "Loop":
        return self

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        for line in sys.stdin:
            batch_size, steps = map(int, line.split())
            noise = np.random.default_rng(0).random((2, batch_size, 3, *self._size), np.float32)
            batch = {
                key: torch.from_numpy(value).to(DEVICE, memory_format=self._memory_format)
                for key, value in zip(("source", "driving"), noise, strict=True)
            }
            synchronize()
            start = time.perf_counter()
            for _ in range(steps):
                yield dict(batch)
            synchronize()
            seconds = time.perf_counter() - start
            on_gpu = torch.cuda.max_memory_allocated() / 2**20 if DEVICE.type == "cuda" else 0
            print(seconds, peak_rss_mib(), on_gpu, flush=True)

    @contextlib.contextmanager
    def official(self) -> Iterator[Any]:
        """The official `train`, without logs and data set, and with random weights in VGG-19."""
        stand_ins = {}
        for module, attribute in (("logger", "Logger"), ("frames_dataset", "DatasetRepeater")):
            stand_ins[module] = types.ModuleType(module)
            setattr(stand_ins[module], attribute, mock.MagicMock())
        with mock.patch.dict(sys.modules, stand_ins):
            import train as loop
        from modules import model, util

        vgg19, full_model = model.models.vgg19, model.GeneratorFullModel

        def make(*args: Any) -> torch.nn.Module:
            return Float32Losses(self._variant_of(full_model(*args)))

        with contextlib.ExitStack() as stack:
            for where, name, instead in (
                (model.models, "vgg19", lambda **_: vgg19(weights=None)),
                (loop, "DataLoader", self),
                (loop, "trange", range),
                (loop, "GeneratorFullModel", make),
            ):
                stack.enter_context(mock.patch.object(where, name, instead))
            if "bfloat16" in self._variant and DEVICE.type == "cpu":
                blur = util.AntiAliasInterpolation2d
                wide = in_float32(blur.forward)
                stack.enter_context(mock.patch.object(blur, "forward", wide))
            yield loop.train

    def _variant_of(self, module: torch.nn.Module) -> torch.nn.Module:
        if "compile" in self._variant:
            module = torch.compile(module)
        return Autocast(module) if "bfloat16" in self._variant else module


class Float32Losses(torch.nn.Module):
    """The official full model with float32 losses: its loop hands them to NumPy."""

    def __init__(self, module: torch.nn.Module):
        super().__init__()
        self.module = module

    def forward(self, *args: Any) -> Any:
        """The losses by name, and what the model generated."""
        losses, generated = self.module(*args)
        return {name: loss.float() for name, loss in losses.items()}, generated


class Autocast(torch.nn.Module):
    """A model whose forward pass runs under PyTorch's bfloat16 autocast."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, *args: Any) -> Any:
        """The model's outputs."""
        with torch.autocast(DEVICE.type, torch.bfloat16):
            return self.model(*args)


def in_float32(forward: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Takes a module's `forward` out of autocast.

    On a CPU PyTorch 2.13 takes minutes for the largest blur's 29x29 kernel in bfloat16 and
    channels_last, and 17 ms in float32.
    """

    def forward_in_float32(module: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
        with torch.autocast(DEVICE.type, enabled=False):
            return forward(module, image.float())

    return forward_in_float32


if __name__ == "__main__":
    main()
