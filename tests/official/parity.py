"""Compares every stage with the official code, live, on a real picture, and prints a table.

  make parity REFERENCE=CHECKOUT CHECKPOINT=vox.pth.tar

CHECKOUT is GitHub yoyo-nb/Thin-Plate-Spline-Motion-Model. A bound is that of the tests; for
predictions, which real pictures make less exact, at least twice what the official code rounds.
Ends with 1 when one is broken.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from tests.helpers.golden_cases import BOUNDS, FLOW, ROUNDING, number_outputs, stage_of
from tests.helpers.paths import ROOT
from tpsm_jax.animation.animator import Animator
from tpsm_jax.animation.keypoints import relative_scale
from tpsm_jax.checkpoints.torch import read_torch_file, variables_from_torch
from tpsm_jax.cli import run_script
from tpsm_jax.config import read_config
from tpsm_jax.errors import InputError
from tpsm_jax.media.images import read_image, resize
from tpsm_jax.media.video_reader import open_video
from tpsm_jax.models.registry import build_model


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", type=Path, required=True, help="the official checkout")
    parser.add_argument("--checkpoint", type=Path, required=True, help="official weights file")
    parser.add_argument("--config", type=Path, default=Path("configs/vox256.py"))
    parser.add_argument("--source", type=Path, help="picture; the checkout's own by default")
    parser.add_argument("--driving", type=Path, help="clip; the checkout's own by default")
    parser.add_argument("--frames", type=int, default=5, help="driving frames to compare")
    parser.add_argument("--step", type=int, default=12, help="take every so many-th driving frame")
    parser.add_argument(
        "--reference_python",
        default=sys.executable,
        help="Python that has PyTorch, where this one has not",
    )
    return parser.parse_args()


def run_official(
    args: argparse.Namespace, params: dict[str, Any], source: np.ndarray, frames: np.ndarray
) -> dict[str, np.ndarray]:
    """Every stage by the official code, from a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        pictures, output = Path(folder) / "pictures.npz", Path(folder) / "stages.npz"
        np.savez(pictures, source=source, frames=frames)
        command = [args.reference_python, "-m", "tests.official.parity_reference"]
        options = {
            "reference": args.reference.absolute(),
            "checkpoint": args.checkpoint.absolute(),
            "model_params": json.dumps(params),
            "pictures": pictures,
            "output": output,
        }
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        done = subprocess.run(command, cwd=ROOT, check=False)
        if done.returncode:
            raise InputError("the official code failed, see above; has its Python PyTorch?")
        return dict(np.load(output))


def run_ours(
    config: Any, checkpoint: Path, source: np.ndarray, frames: np.ndarray
) -> dict[str, np.ndarray]:
    """The same stages by this library."""
    params = config.model_params.to_dict()
    variables, report = variables_from_torch(read_torch_file(checkpoint), params)
    if report.absent:
        print(f"not in the checkpoint, so not compared: {', '.join(report.absent)}")
    model = build_model(params)
    background = "bg_predictor" in variables["params"]
    chain = jax.jit(
        lambda variables, *images: model.apply(variables, *images, background=background)
    )
    stages = number_outputs(chain(variables, source[None], frames[-1:]))
    detector = model.bind(variables).kp_detector
    kp_source, kp_driving = (np.asarray(detector(images)) for images in (source[None], frames))
    keypoints: dict[str, np.ndarray] = {
        "standard": kp_driving,
        "relative": model.relative(
            kp_source[0], kp_driving, kp_driving[0], relative_scale(kp_source[0], kp_driving[0])
        ),
    }
    if "avd_network" in variables["params"]:
        sources = np.broadcast_to(kp_source, kp_driving.shape)
        avd_network = model.bind(variables).avd_network
        keypoints["avd"] = np.asarray(avd_network(sources, kp_driving, train=False))
    for mode, found in keypoints.items():
        animator = Animator(
            (config, model, variables),
            source,
            mode=mode,
            size=source.shape[:2],
            output_dtype=np.float32,
        )
        stages[f"{mode}/keypoints"] = found
        stages[f"{mode}/prediction"] = np.stack(list(animator.animate(frames)))
    return stages


def print_table(ours: dict[str, np.ndarray], official: dict[str, np.ndarray]) -> bool:
    """Prints a line a stage; returns whether every bound holds."""
    stages = {name for name in official if not name.startswith(ROUNDING)}
    if ours.keys() != stages:
        print(f"stages of one side only: {sorted(ours.keys() ^ stages)}")
        return False
    holds = True
    print(
        f"{'stage':26s} {'max |diff|':>11s} {'mean |diff|':>11s} {'bound':>8s}"
        f"{'':10s}official code from its own float64"
    )
    for name, value in ours.items():
        difference = np.abs(value.astype(np.float64) - official[name])
        rounding = float(official[f"{ROUNDING}{name}"])
        bound = _bound(stage_of(name), value.shape)
        if stage_of(name) == "prediction":
            # Of real pictures, with sharp edges, the official code itself rounds farther than that.
            bound = max(bound, 2 * rounding)
        holds &= _print_line(name, difference.max(), difference.mean(), bound, f"{rounding:8.1e}")
        if name.endswith("/prediction"):
            steps = np.abs(np.rint(value * 255.0) - np.rint(official[name] * 255.0))
            holds &= _print_line(f"{name} of 255", steps.max(), steps.mean(), 1)
    return holds


def _bound(stage: str, shape: tuple[int, ...]) -> float:
    if stage not in ("deformed_source", "deformed", "warped_encoder_maps"):
        return BOUNDS[stage]
    # A real picture's edges go from 0 to 1 within a pixel: moved by the flow's own bound, a warped
    # picture differs by that many pixels. Features run to about 4.
    pixels = FLOW * max(shape[-3:-1]) / 2
    return pixels * (4 if stage == "warped_encoder_maps" else 1)


def _print_line(name: str, largest: float, mean: float, bound: float, note: str = "") -> bool:
    # A NaN is no difference within the bound.
    holds = bool(largest <= bound)
    verdict = "ok" if holds else "BROKEN"
    print(f"{name:26s} {largest:11.1e} {mean:11.1e} {bound:8.1e}  {verdict:8s}{note}".rstrip())
    return holds


def main() -> None:
    """Reads the pictures, runs both, prints the table; ends with 1 when a bound is broken."""
    args = parse_arguments()
    if not (args.reference / "modules").is_dir():
        raise InputError(
            f"{args.reference} is no checkout of the official code: it has no modules/"
        )
    jax.config.update("jax_platforms", "cpu")  # the bounds are those of float32 there
    config = read_config(args.config)
    size = config.image_size
    source = resize(read_image(args.source or args.reference / "assets/source.png"), *size)
    clip = open_video(args.driving or args.reference / "assets/driving.mp4")
    taken = itertools.islice(clip, 0, args.frames * args.step, args.step)
    frames = np.stack([resize(frame, *size) for frame in taken])
    ours = run_ours(config, args.checkpoint, source, frames)
    official = run_official(args, config.model_params.to_dict(), source, frames)
    if not print_table(ours, official):
        sys.exit(1)


if __name__ == "__main__":
    run_script(main)
