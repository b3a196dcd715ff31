"""The official half of `parity.py`, a program of its own: PyTorch may live apart from JAX."""

import argparse
import json
import warnings

import numpy as np
import torch

from tests.golden import reference
from tests.helpers.golden_cases import ROUNDING, number_outputs


def main() -> None:
    """Runs the official networks on stored pictures, stores every stage and how far it rounds."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--reference", required=True, help="checkout of the official code")
    parser.add_argument("--checkpoint", required=True, help="official checkpoint file")
    parser.add_argument("--model_params", required=True, help="as JSON")
    parser.add_argument("--pictures", required=True, help=".npz with source and frames")
    parser.add_argument("--output", required=True, help=".npz to write")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    reference.open_checkout(args.reference)
    checkpoint = torch.load(args.checkpoint, map_location="cpu", weights_only=True)
    pictures = np.load(args.pictures)
    given = pictures["source"], pictures["frames"]
    params = json.loads(args.model_params)
    stages = run(reference.Reference(params, checkpoint=checkpoint), *given)
    truth = run(reference.Reference(params, checkpoint=checkpoint, dtype=torch.float64), *given)
    for name, value in truth.items():
        stages[f"{ROUNDING}{name}"] = np.abs(stages[name].astype(np.float64) - value).max()
    np.savez(args.output, **stages)


def run(
    networks: reference.Reference, source: np.ndarray, frames: np.ndarray
) -> dict[str, np.ndarray]:
    """Every stage of the last frame, and the animations."""
    stages = number_outputs(networks.chain(source[None], frames[-1:]))
    for mode in ("standard", "relative", "avd"):
        if mode != "avd" or "avd_network" in networks.networks:
            for name, value in networks.animate(source, frames, mode).items():
                stages[f"{mode}/{name}"] = value
    return stages


if __name__ == "__main__":
    main()
