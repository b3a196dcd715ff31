"""Official PyTorch checkpoints: reading and writing them, and the names of their tensors.

PyTorch is not needed, and nothing in a file is ever executed.
"""

from tpsm_jax.checkpoints.torch.keys import torch_shapes
from tpsm_jax.checkpoints.torch.names import (
    ImportReport,
    torch_from_variables,
    variables_from_torch,
)
from tpsm_jax.checkpoints.torch.reader import read_torch_file
from tpsm_jax.checkpoints.torch.vgg19 import ignored_beside_vgg19, vgg19_from_torch
from tpsm_jax.checkpoints.torch.writer import write_torch_file

__all__ = [
    "ImportReport",
    "ignored_beside_vgg19",
    "read_torch_file",
    "torch_from_variables",
    "torch_shapes",
    "variables_from_torch",
    "vgg19_from_torch",
    "write_torch_file",
]
