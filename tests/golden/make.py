"""Writes tests/golden/*.npz with the official PyTorch code. Run once; the arrays are kept.

  python -m tests.golden.make --reference CHECKOUT [--only NAME ...]

Every file also keeps `noise/...`: the largest difference between the official code in float32 and
in float64, which is what rounding alone does to that array.
"""

import argparse
import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from tests.golden import (
    reference,
    reference_gradients,
    reference_ops,
    reference_reconstruction,
    reference_run,
    reference_schedules,
    reference_training,
)
from tests.helpers import golden_cases as cases
from tests.helpers import golden_training_cases as training_cases
from tests.helpers.paths import GOLDEN

Arrays = dict[str, np.ndarray]


def with_noise(make: Callable[[torch.dtype], Arrays]) -> Arrays:
    """The arrays `make` gives in float32, and their distance from those in float64."""
    single, double = make(torch.float32), make(torch.float64)
    kept = {name: np.asarray(value, np.float32) for name, value in single.items()}
    for name, value in single.items():
        difference = np.abs(value.astype(np.float64) - double[name])
        kept[f"noise/{name}"] = np.float32(difference.max())
    return kept


def chain(name: str) -> Arrays:
    """Every stage of one of `golden_cases.CHAINS`."""
    case = cases.CHAINS[name]
    source, driving = cases.chain_pictures(case)

    def make(dtype: torch.dtype) -> Arrays:
        networks = reference.Reference(case.params, seed=case.seed, dtype=dtype)
        outputs = networks.chain(source, driving, background=case.background)
        return cases.flatten_outputs(outputs)

    return with_noise(make)


def chain_noise() -> Arrays:
    """How far rounding takes the official float32 chains: "CHAIN/STAGE", the worst of eight runs.

    The runs are on pictures that differ in their last bit, so that what the rounding of one
    processor and one order of summing happens to do is not taken for what rounding can do.
    """
    kept: Arrays = {}
    for name, case in cases.CHAINS.items():

        def make(dtype: torch.dtype, nudge: int = 0, case: cases.ChainCase = case) -> Arrays:
            networks = reference.Reference(case.params, seed=case.seed, dtype=dtype)
            pictures = cases.nudged(cases.chain_pictures(case), nudge)
            outputs = networks.chain(*pictures, background=case.background)
            return cases.flatten_outputs(outputs)

        truth = make(torch.float64)
        for nudge in range(cases.NUDGES):
            for key, value in make(torch.float32, nudge).items():
                stage = f"{name}/{cases.stage_of(key)}"
                distance = np.float32(np.abs(value.astype(np.float64) - truth[key]).max())
                kept[stage] = np.maximum(kept.get(stage, np.float32(0)), distance)
    return kept


def networks() -> Arrays:
    """Every network alone."""
    small, single = (cases.model_params(small=True, multi_mask=multi) for multi in (True, False))
    source, driving = cases.pictures("source", 2, 128, 192), cases.pictures("driving", 2, 128, 192)

    def make(dtype: torch.dtype) -> Arrays:
        multi_mask = {
            True: reference.Reference(small, dtype=dtype),
            False: reference.Reference(single, dtype=dtype),
        }
        model = multi_mask[True]
        outputs: dict[str, Any] = {
            "kp_detector": model.keypoints(source),
            "bg_predictor": model.background(source, driving),
            "avd_network": model.avd(
                cases.spread_keypoints("source", 3, 10), cases.spread_keypoints("driving", 3, 10)
            ),
        }
        for name, case in cases.DENSE_MOTIONS.items():
            motion = multi_mask[case.multi_mask].dense_motion(**cases.dense_motion_inputs(case))
            outputs |= {f"dense_motion/{name}/{key}": value for key, value in motion.items()}
        for multi in (True, False):
            picture, motion = cases.inpainting_inputs(multi)
            out = multi_mask[multi].inpaint(picture, motion)
            kind = "plain" if multi else "single_mask"
            outputs |= {f"inpainting/{kind}/{key}": value for key, value in out.items()}
        picture, motion = cases.inpainting_inputs(True)
        outputs["inpainting/encode_driving"] = model.encode_driving(
            picture, motion["occlusion_map"]
        )[::-1]
        vgg = reference.build_vgg19(0, dtype)
        with torch.no_grad():
            features = vgg(reference.channels_first(cases.pictures("source", 1, 64, 96), dtype))
        outputs["vgg19"] = [reference.channels_last(feature) for feature in features]
        return cases.flatten_outputs(outputs)

    return with_noise(make)


def animation() -> Arrays:
    """The official demo's three modes over moving pictures."""
    source, frames = cases.animation_pictures()

    def make(dtype: torch.dtype) -> Arrays:
        networks = reference.Reference(
            cases.ANIMATION.params, seed=cases.ANIMATION.seed, dtype=dtype
        )
        kept = {}
        for mode in cases.ANIMATION_MODES:
            for name, value in networks.animate(source, frames, mode).items():
                kept[f"{mode}/{name}"] = value
        return kept

    kept = with_noise(make)
    for mode in cases.ANIMATION_MODES:
        # skimage's img_as_ubyte, which the official demo ends with, rounds to nearest.
        prediction = kept.pop(f"{mode}/prediction")
        kept[f"{mode}/frames"] = np.rint(prediction * 255).astype(np.uint8)
        kept[f"{mode}/prediction"] = cases.subsample(prediction, 30_000)
    return kept


def reconstruction(name: str) -> Arrays:
    """The official `reconstruction` over clips, on one of `golden_cases.CHAINS`."""
    case = cases.CHAINS[name]
    networks = reference.Reference(case.params, seed=case.seed).networks
    loss, strips = reference_reconstruction.reconstruct(networks, cases.reconstruction_clips(name))
    kept = {f"png/{clip}": cases.subsample(strip, 60_000) for clip, strip in strips.items()}
    return {"l1": np.float64(loss), **kept}


def keypoint_gradients() -> Arrays:
    """With respect to keypoints, for the full vox networks, in float64.

    `noise/` is float32's largest distance from it over eight runs on pictures that differ in their
    last bit.
    """
    case = cases.CHAINS["vox"]
    truth = reference_gradients.keypoint_gradients(case, torch.float64)
    kept = {name: value.astype(np.float32) for name, value in truth.items()}
    kept |= {f"noise/{name}": np.float32(0) for name in truth}
    for nudge in range(cases.NUDGES):
        single = reference_gradients.keypoint_gradients(case, torch.float32, nudge)
        for name, value in truth.items():
            distance = np.float32(np.abs(value - single[name]).max())
            kept[f"noise/{name}"] = np.maximum(kept[f"noise/{name}"], distance)
    return kept


def tiny_gradients() -> Arrays:
    """With respect to keypoints and parameters, for networks tiny enough to be smooth."""
    case = cases.GRADIENTS
    keypoints = with_noise(lambda dtype: reference_gradients.keypoint_gradients(case, dtype))
    return {**keypoints, **reference_gradients.parameter_gradients(case)}


def training(name: str) -> Arrays:
    """Three steps of one of `golden_training_cases.CASES`."""
    run = functools.partial(reference_training.run_training, training_cases.CASES[name])
    return reference_run.trajectory(run)


MAKERS: dict[str, Callable[[], Arrays]] = {
    "ops": lambda: with_noise(reference_ops.all_ops),
    "networks": networks,
    "animation": animation,
    **{
        f"reconstruction_{name}": functools.partial(reconstruction, name)
        for name in cases.RECONSTRUCTIONS
    },
    "keypoint_gradients": keypoint_gradients,
    "tiny_gradients": tiny_gradients,
    **{f"chain_{name}": functools.partial(chain, name) for name in cases.CHAINS},
    **{
        f"training_{name}": functools.partial(training, name)
        for name in training_cases.TRAJECTORIES
    },
    "chain_noise": chain_noise,
    "training_avd": lambda: reference_run.trajectory(reference_training.run_avd),
    "training_losses": lambda: reference_training.losses(training_cases.CASES["losses"]),
    "training_schedules": reference_schedules.schedules,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", required=True, help="checkout of the official code")
    parser.add_argument("--only", nargs="*", choices=MAKERS, help="make only these files")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", module="torch")
    reference.open_checkout(args.reference)
    GOLDEN.mkdir(exist_ok=True)
    for name in args.only or MAKERS:
        arrays = MAKERS[name]()
        path = GOLDEN / f"{name}.npz"
        np.savez_compressed(path, **arrays)
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")
        for key, value in arrays.items():
            if "noise/" in key:
                print(f"  {key.replace('noise/', ''):48s} {float(value):.1e}")


if __name__ == "__main__":
    main()
