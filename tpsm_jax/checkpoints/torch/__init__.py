"""The official PyTorch checkpoints: reading them, writing them, and what their tensors are called.

PyTorch is not needed, and nothing in a file is ever executed.
"""

from tpsm_jax.checkpoints.torch.keys import torch_shapes
from tpsm_jax.checkpoints.torch.names import (
    ImportReport,
    torch_from_variables,
    variables_from_torch,
    vgg19_from_torch,
)
from tpsm_jax.checkpoints.torch.reader import read_torch_file
from tpsm_jax.checkpoints.torch.writer import write_torch_file

__all__ = [
    "ImportReport",
    "read_torch_file",
    "torch_from_variables",
    "torch_shapes",
    "variables_from_torch",
    "vgg19_from_torch",
    "write_torch_file",
]
