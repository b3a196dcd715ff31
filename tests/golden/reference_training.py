"""Steps of the official training loops themselves: `train` and `train_avd`."""

import importlib
import types
from collections.abc import Sequence
from typing import Any
from unittest import mock

import numpy as np
import torch

from tests.golden.reference import Reference, build_vgg19, channels_first
from tests.golden.reference_loops import Recorder, given_draws, import_loop, patched
from tests.golden.reference_run import Run
from tests.helpers import golden_training_cases as cases

Arrays = dict[str, np.ndarray]


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
