"""Steps of the official training loops themselves: `train` and `train_avd`.

The loops are called as they are. Around them stand a logger that looks at everything, a loader
that hands out given batches, and given random numbers.
"""

import contextlib
import importlib
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import yaml

from tests.golden.reference import Reference, build_vgg19, channels_first, to_torch
from tests.helpers import golden_training_cases as cases
from tests.helpers.golden_cases import gradient_samples

Arrays = dict[str, np.ndarray]


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


class Run:
    """Some steps of an official loop, in a precision.

    Attributes (tensors are called "network.key"):
      networks: those that the loop was given.
      losses: for each step, term -> value.
      rates: for each step, optimizer -> learning rate.
      gradients: for each step, parameter -> gradient before it is scaled; zeros where it is None.
      before, after: parameters.
    """

    def __init__(self, networks: dict[str, torch.nn.Module], recorder: Recorder):
        self.networks, self._recorder = networks, recorder
        self.losses, self.rates = recorder.losses, recorder.rates
        self.gradients: list[Arrays] = []
        self.before = self._read(lambda value: value.detach())

    def finish(self) -> "Run":
        self.after = self._read(lambda value: value.detach())
        return self

    def keep_gradients(self) -> None:
        """To be called before each step's gradients are scaled."""
        self.gradients.append(
            self._read(lambda value: torch.zeros_like(value) if value.grad is None else value.grad)
        )

    def _read(self, of: Callable[[torch.nn.Parameter], torch.Tensor]) -> Arrays:
        return {name: of(value).numpy().copy() for name, value in self._parameters()}

    def _parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        for network, module in self.networks.items():
            for key, value in module.named_parameters():
                yield f"{network}.{key}", value

    def statistics(self) -> Arrays:
        """Running means and variances after the steps."""
        return {
            f"{network}.{key}": value.numpy()
            for network, module in self.networks.items()
            for key, value in module.named_buffers()
            if "running_" in key
        }

    def moments(self) -> tuple[Arrays, Arrays, dict[str, int]]:
        """Adam's mean, mean square and count of steps of each parameter; 0 where it kept none."""
        states = {
            id(parameter): state
            for optimizer in self._recorder.optimizers().values()
            for parameter, state in optimizer.state.items()
        }
        mean, square, count = {}, {}, {}
        for name, value in self._parameters():
            state = states.get(id(value), {})
            zeros = torch.zeros_like(value)
            mean[name] = state.get("exp_avg", zeros).numpy()
            square[name] = state.get("exp_avg_sq", zeros).numpy()
            count[name] = int(state.get("step", 0))
        return mean, square, count


def run_training(case: cases.TrainingCase, dtype: torch.dtype, nudge: float = 0) -> Run:
    """The official `train` on a case; `nudge` moves every pixel by up to this share of itself."""
    networks = Reference(case.model_params, seed=case.seed, dtype=dtype).networks
    networks.pop("avd_network")
    for network in networks.values():
        _exact_blur(network.train())
    train_params = cases.train_params(case)
    passed = sum(milestone < case.first_epoch for milestone in train_params["epoch_milestones"])
    recorder = Recorder(case.first_epoch, train_params["lr_generator"] * 0.1**passed)
    run = Run(networks, recorder)
    train_params["num_epochs"] = case.first_epoch + case.steps
    given = [cases.inputs(case, step) for step in range(case.steps)]
    loop, model = import_loop("train"), importlib.import_module("modules.model")
    vgg19, full_model = build_vgg19(cases.VGG19_SEED, dtype), model.GeneratorFullModel
    clip = loop.clip_grad_norm_

    def watched(parameters: Any, **options: Any) -> torch.Tensor:
        parameters = list(parameters)
        if parameters[0] is next(networks["kp_detector"].parameters()):
            run.keep_gradients()  # the first of a step's calls
        return clip(parameters, **options)

    def full_model_in_precision(*args: Any) -> torch.nn.Module:
        return _exact_blur(full_model(*args).to(dtype))

    with (
        patched(loop, recorder, [_batch(step, dtype, nudge) for step in given]),
        mock.patch.object(model, "Vgg19", return_value=vgg19),
        mock.patch.object(loop, "clip_grad_norm_", watched),
        mock.patch.object(loop, "GeneratorFullModel", full_model_in_precision),
        given_draws(*_draws(given), dtype),
    ):
        loop.train(
            {"train_params": train_params, "visualizer_params": {}},
            networks["inpainting_network"],
            networks["kp_detector"],
            networks.get("bg_predictor"),
            networks["dense_motion_network"],
            "checkpoint",
            "log_dir",
            None,
        )
    return run.finish()


def _batch(given: Any, dtype: torch.dtype, nudge: float) -> dict[str, torch.Tensor]:
    scale = 1 + nudge * cases.uniform("nudge", given.source.shape, -1, 1).astype(np.float64)
    pair = {"source": given.source, "driving": given.driving}
    return {key: channels_first(image * scale, dtype) for key, image in pair.items()}


def _draws(given: Sequence[Any]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    normals, uniforms = [], []
    for step in given:
        normals += [step.affine_noise, np.moveaxis(step.spline_weights, -1, 1)]
        if step.kept_tps is not None:
            kept = np.pad(step.kept_tps, ((0, 0), (1, 0)), constant_values=True)
            uniforms.append(np.where(kept, 0.0, 0.999))
    return normals, uniforms


def _exact_blur(module: torch.nn.Module) -> torch.nn.Module:
    """Gives a module in float64 blurs of that precision: the official ones are float32's."""
    util = importlib.import_module("modules.util")
    for part in module.modules():
        if isinstance(part, util.AntiAliasInterpolation2d) and part.scale != 1:
            sigma = (1 / part.scale - 1) / 2
            offsets = np.arange(part.weight.shape[-1]) - part.weight.shape[-1] // 2
            profile = np.exp(-(offsets**2) / (2 * sigma**2))
            kernel = np.outer(profile, profile) / profile.sum() ** 2
            part.weight.copy_(torch.from_numpy(kernel).expand_as(part.weight))
    return module


def run_avd(dtype: torch.dtype, nudge: float = 0) -> Run:
    """The official `train_avd` on `avd_inputs`, with the detector in evaluation mode."""
    networks = Reference(cases.AVD_MODEL_PARAMS, seed=cases.AVD_SEED, dtype=dtype).networks
    recorder = Recorder()
    run = Run({"avd_network": networks["avd_network"]}, recorder)
    batches, uniforms = [], []
    for step in range(cases.AVD_STEPS):
        source, driving, drawn = cases.avd_inputs(step)
        batches.append(_batch(types.SimpleNamespace(source=source, driving=driving), dtype, nudge))
        uniforms.append(drawn)
    loop = import_loop("train_avd")
    step_of_adam = torch.optim.Adam.step

    def step_after_looking(optimizer: torch.optim.Adam, *args: Any) -> Any:
        run.keep_gradients()
        return step_of_adam(optimizer, *args)

    with (
        patched(loop, recorder, batches),
        mock.patch.object(torch.optim.Adam, "step", step_after_looking),
        given_draws([], uniforms, dtype),
    ):
        loop.train_avd(
            {"train_avd_params": cases.train_avd_params(), "visualizer_params": {}},
            lambda *_: {},
            networks["kp_detector"],
            None,
            lambda **_: None,
            networks["avd_network"],
            "checkpoint",
            "log_dir",
            None,
        )
    return run.finish()


def trajectory(run_in: Callable[..., Run]) -> Arrays:
    """What a run did, in float64, and how far it goes astray when its pictures move by 1e-12.

    Returns:
      names [P]; of each of gradient_0, gradient_1, ..., update, mean and square: norm and largest
      absolute entry [P] and samples [P, 16]; count [P]; has_gradient [P], false for parameters
      whose gradient is rounding noise; losses/TERM and rates/OPTIMIZER [steps]; statistics/KEY.
    """
    run, moved = run_in(torch.float64), run_in(torch.float64, nudge=1e-12)
    kept: Arrays = {"names": np.array(list(run.before))}
    for kind, rows in (("losses", run.losses), ("rates", run.rates)):
        for name in dict.fromkeys(name for row in rows for name in row):
            kept[f"{kind}/{name}"] = np.array([row.get(name, 0) for row in rows])
    kept["count"] = np.array(list(run.moments()[2].values()), np.int32)
    norms = np.array([np.linalg.norm(array) for array in run.gradients[-1].values()])
    kept["has_gradient"] = norms > 1e-9 * np.median(norms)
    tables = zip(_tables(run).items(), _tables(moved).values(), strict=True)
    for (kind, arrays), moved_arrays in tables:
        columns, moved_columns = _columns(arrays), _columns(moved_arrays)
        kept |= {f"{kind}/{name}": column for name, column in columns.items()}
        kept[f"noise/{kind}"] = _largest_distance(columns, moved_columns, kept["has_gradient"])
    for key, array in run.statistics().items():
        kept[f"statistics/{key}"] = array.astype(np.float32)
    return kept


def _tables(run: Run) -> dict[str, Arrays]:
    mean, square, _ = run.moments()
    gradients = {f"gradient_{i}": gradient for i, gradient in enumerate(run.gradients)}
    update = {name: run.after[name] - value for name, value in run.before.items()}
    return {**gradients, "update": update, "mean": mean, "square": square}


def _columns(arrays: Arrays) -> Arrays:
    """What is kept of each tensor."""
    return {
        "norm": np.array([np.linalg.norm(array) for array in arrays.values()]),
        "largest": np.array([np.abs(array).max() for array in arrays.values()]),
        "samples": np.array([gradient_samples(array) for array in arrays.values()]),
    }


def _largest_distance(columns: Arrays, moved: Arrays, counts: np.ndarray) -> np.float32:
    """Of norms and samples, as the tests measure it."""
    counts = counts & (columns["largest"] > 0)
    norm, largest, samples = (columns[name][counts] for name in ("norm", "largest", "samples"))
    norms = np.abs(moved["norm"][counts] - norm) / norm
    entries = np.abs(moved["samples"][counts] - samples).max(axis=1) / largest
    return np.float32(max(norms.max(), entries.max()))


def losses(case: cases.TrainingCase) -> Arrays:
    """Terms and running statistics of a first step, and float32's distance from float64."""
    single, double = (run_training(case, dtype) for dtype in (torch.float32, torch.float64))
    kept = {f"losses/{name}": np.float64(value) for name, value in double.losses[0].items()}
    for name, value in double.losses[0].items():
        kept[f"noise/losses/{name}"] = np.float32(abs(single.losses[0][name] / value - 1))
    statistics, single_statistics = double.statistics(), single.statistics()
    distances = [
        np.abs(array - single_statistics[key]).max() / np.abs(array).max()
        for key, array in statistics.items()
    ]
    kept["noise/statistics"] = np.float32(max(distances))
    kept |= {f"statistics/{key}": array.astype(np.float32) for key, array in statistics.items()}
    for network in single.networks:
        names = [name for name in single.before if name.startswith(network)]
        pairs = [(run.gradients[0][name] for run in (single, double)) for name in names]
        ratios = [np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in pairs]
        # For the record: why gradients are compared in float64.
        kept[f"noise/gradient/{network}"] = np.float32(np.median(ratios))
    return kept


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
