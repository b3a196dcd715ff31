"""Whether the official code takes a file that `convert_torch_weights.py --to_torch` wrote.

Needs PyTorch and a checkout of the official code, but neither JAX nor this library:
  python -m tests.official.check_roundtrip --reference CHECKOUT --checkpoint exported.pth.tar \
      [--original vox.pth.tar] [--yaml CHECKOUT/config/vox-256.yaml]
"""

import argparse
import sys
from pathlib import Path

import torch
import yaml

from tests.golden.reference import build_networks, open_checkout


def main() -> None:
    """Loads every network strictly; with an original, compares every tensor bit for bit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--original", type=Path)
    parser.add_argument("--yaml", type=Path)
    args = parser.parse_args()

    open_checkout(args.reference)
    yaml_path = args.yaml or args.reference / "config" / "vox-256.yaml"
    networks = build_networks(yaml.safe_load(yaml_path.read_text())["model_params"])
    checkpoint = torch.load(args.checkpoint, map_location="cpu", weights_only=True)
    for name, state in checkpoint.items():
        networks[name].load_state_dict(state, strict=True)
        print(f"{name}: loaded with strict=True")
    for name in networks.keys() - checkpoint.keys():
        print(f"{name}: not in the file")
    if args.original:
        compare(checkpoint, torch.load(args.original, map_location="cpu", weights_only=True))


def compare(exported: dict, original: dict) -> None:
    """Exits 1 if a tensor differs from the original's in type, shape or one bit."""
    differing = []
    count = 0
    for network, state in exported.items():
        missing = original[network].keys() ^ state.keys()
        differing += [f"{network}.{key}" for key in missing]
        for key in state.keys() - missing:
            ours, theirs = state[key], original[network][key]
            count += 1
            # Counts of training steps are not kept; the anti-alias kernel is computed again.
            if key.endswith("num_batches_tracked"):
                same = ours.dtype == theirs.dtype and ours.shape == theirs.shape
            elif key == "down.weight":
                same = torch.allclose(ours, theirs, rtol=1e-5, atol=0)
            else:
                same = ours.dtype == theirs.dtype and torch.equal(ours, theirs)
            if not same:
                differing.append(f"{network}.{key}")
    if differing:
        sys.exit(f"{len(differing)} tensors differ: {', '.join(differing[:5])}")
    print(f"{count} tensors are the original's, bit for bit (but counters, and the blur to 1e-5)")


if __name__ == "__main__":
    main()
