"""Reading `.safetensors` files by the safetensors library, which needs no PyTorch."""

from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  teaches NumPy bfloat16
import numpy as np

from tpsm_jax.checkpoints.torch.records import Opaque, shown
from tpsm_jax.errors import InputError

_LENGTH = 8  # bytes that hold the length of the header
# Checkpoints here have some hundred tensors, of a hundred bytes each in the header.
_LARGEST_HEADER = 10 * 2**20


def is_safetensors(head: bytes) -> bool:
    """Whether a file begins as a safetensors file: a length, and JSON."""
    return head[_LENGTH : _LENGTH + 1] == b"{" and head[5:_LENGTH] == bytes(3)


def read_safetensors(path: Path) -> dict[str, Any]:
    """Reads all tensors of a file.

    Args:
      path: a file that `is_safetensors` takes for one.

    Returns:
      Name -> read-only array, bfloat16 as float32, or `Opaque` for types that NumPy lacks. They
      take no more memory than the file is long, twice that for bfloat16.

    Raises:
      InputError: if the library is not installed, or the file is cut short or corrupt.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise InputError(
            "a safetensors file, which needs the safetensors library: pip install safetensors"
        ) from error
    with path.open("rb") as file:
        if int.from_bytes(file.read(_LENGTH), "little") > _LARGEST_HEADER:
            raise InputError("its header is longer than that of any checkpoint")
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: _tensor(file, name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"the file is cut short or corrupt ({shown(str(error))})") from error


def _tensor(file: Any, name: str) -> np.ndarray | Opaque:
    try:
        tensor = file.get_tensor(name)
    except (TypeError, AttributeError):
        return Opaque(f"tensor of type {file.get_slice(name).get_dtype()}")
    except ValueError as error:
        raise InputError(f"its tensor {shown(name)} is of an impossible size") from error
    if tensor.dtype.name == "bfloat16":
        tensor = tensor.astype(np.float32)
    tensor.flags.writeable = False
    return tensor
