"""Reading `.safetensors` files of other programs, as if `torch.save` had written them."""

from pathlib import Path
from typing import Any

import numpy as np

from tpsm_jax.checkpoints.safetensors_io import open_tensors, read_tensor
from tpsm_jax.checkpoints.torch.records import Opaque


def is_safetensors(head: bytes) -> bool:
    """Whether a file begins as a safetensors file: a length of 8 bytes, and JSON."""
    return head[8:9] == b"{" and head[5:8] == bytes(3)


def read_safetensors(path: Path) -> dict[str, Any]:
    """Reads all tensors of a file.

    Args:
      path: a file that `is_safetensors` takes for one.

    Returns:
      Name -> read-only array, bfloat16 as float32, or `Opaque` for types that NumPy lacks. They
      take no more memory than the file is long, twice that for bfloat16.

    Raises:
      InputError: if the file is cut short or corrupt.
    """
    with open_tensors(path) as file:
        return {name: _tensor(file, name) for name in file.keys()}  # noqa: SIM118


def _tensor(file: Any, name: str) -> np.ndarray | Opaque:
    tensor = read_tensor(file, name)
    if tensor is None:
        return Opaque(f"tensor of type {file.get_slice(name).get_dtype()}")
    if tensor.dtype.name == "bfloat16":
        tensor = tensor.astype(np.float32)
    tensor.flags.writeable = False
    return tensor
