"""The official PyTorch code, training as its train.py does, on demand; see train_step.py beside.

Needs torch and a checkout of the official code, and nothing of this project. It runs the official
loop itself; in place of its data loader stands one that hands out the same batch again and again,
already on the device, whenever it is asked to. Reads "batch size, steps, parts" a line from the
standard input, takes as many steps, and answers "seconds, peak memory of the process in MiB, of the
GPU". If parts is 1, it waits for the GPU before and after each part, and adds "seconds of forward,
backward, optimiser, and of the perceptual loss with its gradient, by itself".
"""

import argparse
import contextlib
import functools
import resource
import sys
import time
import types
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch
import yaml

from benchmarks.official.animation_worker import define_missing_operators

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def main() -> None:
    """Says the versions, then trains until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", required=True, help="the checkout")
    parser.add_argument("--config", required=True, help="YAML of the official code")
    parser.add_argument("--size", type=int, nargs=2, required=True, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--variant", default="eager", help="see train_step.py")
    args = parser.parse_args()
    variant = set(args.variant.split(","))
    sys.path.insert(0, args.reference)
    define_missing_operators()
    with open(args.config) as file:
        config = yaml.safe_load(file)
    # The first epoch is to have the background predictor in it, besides the dropout.
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
    """Version, device, and how it computes."""
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
    """The official loop, and what stands in for its data loader: an epoch without end."""

    def __init__(
        self, height: int, width: int, memory_format: torch.memory_format, variant: set[str]
    ):
        self._size, self._memory_format, self._variant = (height, width), memory_format, variant
        self._timing, self._seconds = False, Counter[str]()
        self._perceptual: Any = None

    def __call__(self, *_: Any, **__: Any) -> "Loop":
        return self

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        for line in sys.stdin:
            batch_size, steps, parts = map(int, line.split())
            noise = np.random.default_rng(0).random((2, batch_size, 3, *self._size), np.float32)
            batch = {
                key: torch.from_numpy(value).to(DEVICE, memory_format=self._memory_format)
                for key, value in zip(("source", "driving"), noise, strict=True)
            }
            self._timing, self._seconds = bool(parts), Counter()
            synchronize()
            start = time.perf_counter()
            for _ in range(steps):
                yield dict(batch)
            synchronize()
            seconds = time.perf_counter() - start
            on_gpu = torch.cuda.max_memory_allocated() / 2**20 if DEVICE.type == "cuda" else 0
            answer = [seconds, peak_rss_mib(), on_gpu]
            if parts:
                self._time_vgg(batch, steps)
                answer += [self._seconds[p] for p in ("forward", "backward", "optimiser", "vgg")]
            print(*answer, flush=True)

    def _timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose time is added to a part's where parts are timed."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            if not self._timing:
                return function(*args, **kwargs)
            synchronize()
            start = time.perf_counter()
            result = function(*args, **kwargs)
            synchronize()
            self._seconds[part] += time.perf_counter() - start
            return result

        return timed

    def _time_vgg(self, batch: dict[str, torch.Tensor], steps: int) -> None:
        """The perceptual loss of a picture with its gradient, by itself."""
        self._timing = False

        def with_gradient() -> None:
            prediction = batch["source"].clone().requires_grad_()
            self._perceptual(prediction, batch["driving"]).backward()

        with_gradient()  # compiles
        self._timing = True
        timed = self._timed("vgg", with_gradient)
        before = self._seconds["backward"]
        for _ in range(steps):
            timed()
        self._seconds["backward"] = before  # which this was no part of

    @contextlib.contextmanager
    def official(self) -> Iterator[Any]:
        """`train` of train.py, without logs and data set, and with random weights in VGG-19."""
        stand_ins = {}
        for module, attribute in (("logger", "Logger"), ("frames_dataset", "DatasetRepeater")):
            stand_ins[module] = types.ModuleType(module)
            setattr(stand_ins[module], attribute, mock.MagicMock())
        with mock.patch.dict(sys.modules, stand_ins):
            import train as loop
        from modules import model, util

        vgg19, full_model = model.models.vgg19, model.GeneratorFullModel

        def make(*args: Any) -> torch.nn.Module:
            made = full_model(*args)
            self._perceptual = self._variant_of(Perceptual(made))
            made = self._variant_of(made)
            return Timed(made, functools.partial(self._timed, "forward"))

        adam, backward = torch.optim.Adam, torch.Tensor.backward
        with contextlib.ExitStack() as stack:
            for where, name, instead in (
                (model.models, "vgg19", lambda **_: vgg19(weights=None)),
                (loop, "DataLoader", self),
                (loop, "trange", range),
                (loop, "GeneratorFullModel", make),
                (loop, "clip_grad_norm_", self._timed("optimiser", loop.clip_grad_norm_)),
                (adam, "step", self._timed("optimiser", adam.step)),
                (torch.Tensor, "backward", self._timed("backward", backward)),
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


class Timed(torch.nn.Module):
    """The official full model, whose calls are timed."""

    def __init__(self, module: torch.nn.Module, timed: Callable[..., Any]):
        super().__init__()
        self.module, self.timed = module, timed

    def forward(self, *args: Any) -> Any:
        """As the model's; losses in float32, for the official loop hands them to NumPy."""
        losses, generated = self.timed(self.module)(*args)
        return {name: loss.float() for name, loss in losses.items()}, generated


class Perceptual(torch.nn.Module):
    """The perceptual loss of the official model, with its pyramid and its VGG-19."""

    def __init__(self, model: Any):
        super().__init__()
        self.pyramid, self.vgg = model.pyramid, getattr(model, "vgg", None)
        self.weights, self.scales = model.loss_weights["perceptual"], model.scales

    def forward(self, prediction: torch.Tensor, driving: torch.Tensor) -> torch.Tensor:
        """The loss as a scalar."""
        pyramids = self.pyramid(prediction), self.pyramid(driving)
        total = torch.zeros((), device=prediction.device)
        for scale in self.scales:
            maps, aims = (self.vgg(pyramid[f"prediction_{scale}"]) for pyramid in pyramids)
            for weight, ours, aim in zip(self.weights, maps, aims, strict=True):
                total = total + weight * (ours - aim.detach()).abs().mean()
        return total


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


class Autocast(torch.nn.Module):
    """A model whose forward pass computes in bfloat16 what PyTorch deems fit for it."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, *args: Any) -> Any:
        """As the model's."""
        with torch.autocast(DEVICE.type, torch.bfloat16):
            return self.model(*args)


def in_float32(forward: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A module's `forward`, left out of autocast.

    On a CPU PyTorch 2.13 takes minutes for the largest blur's 29x29 kernel in bfloat16 and
    channels_last, and 17 ms in float32.
    """

    def forward_in_float32(module: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
        with torch.autocast(DEVICE.type, enabled=False):
            return forward(module, image.float())

    return forward_in_float32


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
