"""The official PyTorch code, training as its train.py does, on demand; see train_step.py beside.

Needs torch and a checkout of the official code, and nothing of this project. It runs the official
loop itself; in place of its data loader stands one that hands out the same batch again and again,
already on the device, whenever it is asked to. Reads "batch size, steps" a line from the standard
input, takes as many steps, and answers "seconds, peak memory of the process in MiB, of the GPU".
"""

import argparse
import contextlib
import resource
import sys
import time
import types
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch
import yaml
from reference_worker import define_missing_operators

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def main() -> None:
    """Says the versions, then trains until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", required=True, help="the checkout")
    parser.add_argument("--config", required=True, help="YAML of the official code")
    parser.add_argument("--size", type=int, nargs=2, required=True, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--compiled", action="store_true", help="see train_step.py")
    args = parser.parse_args()
    sys.path.insert(0, args.reference)
    define_missing_operators()
    with open(args.config) as file:
        config = yaml.safe_load(file)
    # The first epoch is to have the background predictor in it, besides the dropout.
    config["train_params"] |= {"bg_start": 0, "num_epochs": 1}
    torch.backends.cudnn.benchmark = args.compiled
    print(describe(args.compiled), flush=True)

    networks = build_networks(config["model_params"])
    memory = torch.channels_last if args.compiled else torch.contiguous_format
    for network in networks.values():
        network.to(DEVICE, memory_format=memory)
    batches = Batches(*args.size, memory)
    with official_loop(batches, args.compiled) as train:
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


def describe(compiled: bool) -> str:
    """Version, device, and how it computes."""
    if compiled:
        how = "torch.compile, channels_last, bfloat16 autocast"
    else:
        tf32 = DEVICE.type == "cuda" and torch.backends.cudnn.allow_tf32
        how = "eager, " + ("TF32 convolutions" if tf32 else "float32")
    return f"torch {torch.__version__} on {DEVICE}, {torch.get_num_threads()} threads, {how}"


class Batches:
    """The data loader's place: an epoch that lasts as long as steps are asked for."""

    def __init__(self, height: int, width: int, memory_format: torch.memory_format):
        self._size, self._memory_format = (height, width), memory_format

    def __call__(self, *_: Any, **__: Any) -> "Batches":
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


def synchronize() -> None:
    """Waits for the GPU, where there is one."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def build_networks(model_params: dict[str, Any]) -> dict[str, torch.nn.Module]:
    """The networks that are trained, in training mode, with their own initial weights."""
    from modules.bg_motion_predictor import BGMotionPredictor
    from modules.dense_motion import DenseMotionNetwork
    from modules.inpainting_network import InpaintingNetwork
    from modules.keypoint_detector import KPDetector

    common = model_params["common_params"]
    networks = {
        "kp_detector": KPDetector(**common),
        "dense_motion_network": DenseMotionNetwork(**common, **model_params["dense_motion_params"]),
        "inpainting_network": InpaintingNetwork(**model_params["generator_params"], **common),
    }
    if common["bg"]:
        networks["bg_predictor"] = BGMotionPredictor()
    return networks


@contextlib.contextmanager
def official_loop(batches: Batches, compiled: bool) -> Iterator[Any]:
    """`train` of train.py, without logs and data set, and with random weights in VGG-19."""
    stand_ins = {}
    for module, attribute in (("logger", "Logger"), ("frames_dataset", "DatasetRepeater")):
        stand_ins[module] = types.ModuleType(module)
        setattr(stand_ins[module], attribute, mock.MagicMock())
    with mock.patch.dict(sys.modules, stand_ins):
        import train as loop
    from modules import model

    original, full_model = model.models.vgg19, model.GeneratorFullModel

    def fast(*args: Any) -> torch.nn.Module:
        return Autocast(torch.compile(full_model(*args)))

    with contextlib.ExitStack() as stack:
        patch = mock.patch.object
        stack.enter_context(patch(model.models, "vgg19", lambda **_: original(weights=None)))
        stack.enter_context(patch(loop, "DataLoader", batches))
        stack.enter_context(patch(loop, "trange", range))
        if compiled:
            stack.enter_context(patch(loop, "GeneratorFullModel", fast))
        yield loop.train


class Autocast(torch.nn.Module):
    """A model whose forward pass computes in bfloat16 what PyTorch deems fit for it."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, *args: Any) -> Any:
        """As the model's."""
        with torch.autocast(DEVICE.type, torch.bfloat16):
            return self.model(*args)


def peak_rss_mib() -> float:
    """The most memory that this process has had resident."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) / 2**10 for line in file if line.startswith("VmHWM"))
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    main()
