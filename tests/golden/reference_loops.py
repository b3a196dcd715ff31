"""The official training loops as they are, and what stands around them.

A logger looks at everything, a loader hands out given batches, and random numbers are given.
"""

import contextlib
import importlib
import sys
import types
from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

import numpy as np
import torch

from tests.golden.reference import to_torch


class Recorder:
    """The official Logger's place: sees losses, networks and optimizers.

    Attributes:
      start_epoch: where the loop is to begin.
      start_rate: the learning rate that a checkpoint of the epoch before would hold.
      objects: what the loop would load a checkpoint into: networks and optimizers.
      losses: for each step, term -> value.
      rates: for each step, optimizer -> learning rate.
    """

    def __init__(self, start_epoch: int = 0, start_rate: float | None = None):
        self.start_epoch, self.start_rate = start_epoch, start_rate
        self.objects: dict[str, Any] = {}
        self.losses: list[dict[str, float]] = []
        self.rates: list[dict[str, float]] = []

    def __call__(self, **_: Any) -> "Recorder":
        return self

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *_: Any) -> None:
        return None

    def load_cpk(self, _: Any, **objects: Any) -> int:
        self.objects = objects
        if self.start_rate is not None:
            for optimizer in self.optimizers().values():
                optimizer.param_groups[0]["lr"] = self.start_rate
        return self.start_epoch - 1

    def log_iter(self, losses: dict[str, np.ndarray]) -> None:
        self.losses.append({name: float(value) for name, value in losses.items()})
        self.rates.append(
            {name: value.param_groups[0]["lr"] for name, value in self.optimizers().items()}
        )

    def log_epoch(self, *_: Any, **__: Any) -> None:
        return None

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Those that the loop made."""
        return {
            name: value
            for name, value in self.objects.items()
            if isinstance(value, torch.optim.Optimizer)
        }


class Batches:
    """The data loader's place: each epoch is the next of some batches."""

    def __init__(self, batches: Sequence[Any]):
        self.batches = iter(batches)

    def __call__(self, *_: Any, **__: Any) -> "Batches":
        return self

    def __iter__(self) -> Iterator[Any]:
        yield next(self.batches)


def import_loop(name: str) -> types.ModuleType:
    """The official module `train` or `train_avd`, without what its logger and data set import."""
    for module, attribute in (("logger", "Logger"), ("frames_dataset", "DatasetRepeater")):
        stand_in = sys.modules.setdefault(module, types.ModuleType(module))
        setattr(stand_in, attribute, None)
    return importlib.import_module(name)


@contextlib.contextmanager
def patched(loop: types.ModuleType, recorder: Recorder, batches: Sequence[Any]) -> Iterator[None]:
    """Gives a loop its recorder and its batches, and no GPU."""
    with (
        mock.patch.object(loop, "Logger", recorder),
        mock.patch.object(loop, "DataLoader", Batches(batches)),
        mock.patch.object(loop, "DatasetRepeater", lambda dataset, _: dataset),
        mock.patch.object(loop, "trange", range),
        mock.patch.object(torch.Tensor, "cuda", lambda tensor: tensor),
    ):
        yield


@contextlib.contextmanager
def given_draws(
    normals: Sequence[np.ndarray], uniforms: Sequence[np.ndarray], dtype: torch.dtype
) -> Iterator[None]:
    """Makes `torch.normal` and `torch.rand` give these, one after the other, and asks for all."""
    normals, uniforms = list(normals), list(uniforms)

    def normal(mean: float, std: torch.Tensor) -> torch.Tensor:
        drawn = to_torch(normals.pop(0), dtype)
        assert (mean, drawn.shape) == (0, std.shape)
        return drawn

    def rand(*shape: int) -> torch.Tensor:
        drawn = to_torch(uniforms.pop(0), dtype)
        assert drawn.shape == shape
        return drawn

    with mock.patch.object(torch, "normal", normal), mock.patch.object(torch, "rand", rand):
        yield
    assert not normals
    assert not uniforms
