"""Makes tests/golden/torch_files: files written by PyTorch itself, and what is in them.

Run once, with PyTorch installed; the results are kept, and no test needs PyTorch:
  python -m tests.golden.make_torch_files
"""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch

FOLDER = Path(__file__).parent / "torch_files"


def awkward_tensors() -> dict[str, Any]:
    """Tensors of every type and layout, nested, some sharing a storage."""
    counting = torch.arange(24, dtype=torch.float32)
    shared = torch.linspace(-1, 1, 12)
    values = [-2.5, 0.0, 1.0, 65504.0]
    return {
        "contiguous": counting.reshape(2, 3, 4),
        "transposed": counting.reshape(4, 6).T,
        "strided": counting[1::3],
        "expanded": torch.tensor([3.0]).expand(4, 5),
        "channels_last": counting.reshape(1, 2, 3, 4).to(memory_format=torch.channels_last),
        "shared": OrderedDict(whole=shared, part=shared[5:9], rows=shared.view(3, 4)[1:]),
        "scalar": torch.tensor(7, dtype=torch.int64),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.tensor([[0.25, -0.5]])),
        "types": {
            "float64": torch.tensor([1 / 3, -1e300], dtype=torch.float64),
            "float16": torch.tensor(values, dtype=torch.float16),
            "bfloat16": torch.tensor([*values, 1 / 3, 3e38], dtype=torch.bfloat16),
            "int64": torch.tensor([-(2**62), 2**62]),
            "int32": torch.tensor([-(2**31), 5], dtype=torch.int32),
            "int16": torch.tensor([-(2**15), 5], dtype=torch.int16),
            "int8": torch.tensor([-128, 127], dtype=torch.int8),
            "uint8": torch.tensor([0, 255], dtype=torch.uint8),
            "bool": torch.tensor([True, False, True]),
        },
    }


PLAIN = {
    "epoch": 99,
    "large": 2**40,
    "lr": 2e-4,
    "betas": (0.5, 0.999),
    "nothing": None,
    "flags": [True, False],
    "name": "zoë",
    "size": torch.Size([3, 4]),
}


def training_checkpoint() -> dict[str, Any]:
    """As the official training saves it: state dicts of modules and of Adam, and the epoch."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    groups = [{"params": list(network.parameters()), "initial_lr": 2e-4}]
    optimizer = torch.optim.Adam(groups, lr=2e-4, betas=(0.5, 0.999), weight_decay=1e-4)
    for _ in range(2):
        network(torch.rand(5, 3)).square().mean().backward()
        optimizer.step()
    return {
        "kp_detector": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
    }


def flatten(tree: Any, path: str = "") -> dict[str, np.ndarray]:
    """Tensors by their path, as "types/int8"; bfloat16, which NumPy lacks, as float32."""
    if isinstance(tree, torch.Tensor):
        tree = tree.detach()
        return {path: (tree.float() if tree.dtype == torch.bfloat16 else tree).numpy()}
    found: dict[str, np.ndarray] = {}
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in items if not isinstance(tree, str) else ():
        if isinstance(value, (torch.Tensor, dict, list, tuple)):
            found |= flatten(value, f"{path}/{key}".lstrip("/"))
    return found


def main() -> None:
    """Writes every fixture."""
    FOLDER.mkdir(exist_ok=True)
    trees = {"tensors": {**awkward_tensors(), "plain": PLAIN}, "training": training_checkpoint()}
    for name, tree in trees.items():
        torch.save(tree, FOLDER / f"{name}_zip.pth")
        torch.save(tree, FOLDER / f"{name}_legacy.pth", _use_new_zipfile_serialization=False)
        np.savez_compressed(FOLDER / f"{name}.npz", **flatten(tree))
    torch.save(torch.nn.Linear(2, 2), FOLDER / "whole_module_zip.pth")


if __name__ == "__main__":
    main()
