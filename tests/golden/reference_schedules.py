"""Learning rates and shares of dropout of the official loops, epoch by epoch."""

import contextlib
import importlib
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import yaml

from tests.golden.reference_loops import Recorder, import_loop, patched
from tests.helpers import golden_training_cases as cases

Arrays = dict[str, np.ndarray]


def schedules() -> Arrays:
    """Learning rates and shares of dropout, epoch by epoch.

    Returns:
      rate/train; rate/avd/CONFIG; dropout/CONFIG, -1 where there is none.
    """
    kept = {"rate/train": _train_rates()}
    for name, milestones in cases.AVD_MILESTONES.items():
        kept[f"rate/avd/{name}"] = _avd_rates(milestones)
    for name in cases.CONFIGS:
        kept[f"dropout/{name}"] = _dropout_shares(name)
    return kept


def _train_rates() -> np.ndarray:
    loop, recorder = import_loop("train"), Recorder()
    network = torch.nn.Linear(1, 1)
    params = {**cases.train_params(cases.CASES["losses"]), "num_epochs": cases.RATE_EPOCHS}

    def full_model(*_: Any) -> Callable[..., Any]:
        return lambda *_: ({"loss": network(torch.ones(1, 1))}, {})

    with (
        patched(loop, recorder, [{}] * cases.RATE_EPOCHS),
        mock.patch.object(loop, "GeneratorFullModel", full_model),
    ):
        config = {"train_params": params, "visualizer_params": {}}
        loop.train(config, *[network] * 4, "checkpoint", "log_dir", None)
    rates = [list(rates.values()) for rates in recorder.rates]
    assert all(first == second for first, second in rates)  # both optimizers have the same
    return np.array(rates)[:, 0]


def _avd_rates(milestones: tuple[int, ...]) -> np.ndarray:
    loop, recorder = import_loop("train_avd"), Recorder()
    epochs, network = cases.AVD_RATE_EPOCHS, torch.nn.Linear(2, 2)
    network.forward = lambda first, _: {"fg_kp": network.weight * first["fg_kp"]}
    params = {
        **cases.train_avd_params(), "num_epochs": epochs, "epoch_milestones": milestones,
    }  # fmt: skip
    picture = torch.ones(6, 2, 2)
    with patched(loop, recorder, [{"source": picture, "driving": picture}] * epochs):
        loop.train_avd(
            {"train_avd_params": params, "visualizer_params": {}},
            lambda *_: {},
            lambda image: {"fg_kp": image},
            None,
            lambda **_: None,
            network,
            "checkpoint",
            "log_dir",
            None,
        )
    return np.array([rates["optimizer_avd"] for rates in recorder.rates])


class _SeenError(Exception):
    pass


def _dropout_shares(name: str) -> np.ndarray:
    model = importlib.import_module("modules.model")
    (path,) = (Path(model.__file__).parents[1] / "config").glob(f"{name}-*.yaml")
    params = yaml.safe_load(path.read_text())["train_params"]
    params["loss_weights"]["perceptual"] = [0]
    seen = []

    def dense_motion(*, dropout_flag: bool, dropout_p: float, **_: Any) -> None:
        seen.append(dropout_p if dropout_flag else -1)
        raise _SeenError

    inpainting = types.SimpleNamespace(num_channels=3)
    full_model = model.GeneratorFullModel.__new__(model.GeneratorFullModel)
    with mock.patch.object(torch.nn.Module, "__setattr__", object.__setattr__):
        full_model.__init__(lambda _: None, None, dense_motion, inpainting, params)
    for epoch in range(cases.DROPOUT_EPOCHS):
        with contextlib.suppress(_SeenError):
            full_model.forward({"source": None, "driving": None}, epoch)
    return np.array(seen)
