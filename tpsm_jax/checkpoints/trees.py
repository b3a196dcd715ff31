"""Reading a tree of arrays in either form: a safetensors file, or a folder of Orbax."""

from pathlib import Path
from typing import Any

from tpsm_jax.checkpoints.safetensors_io import load_tensors


def load_tree(path: Path) -> Any:
    """Reads a tree of arrays.

    Args:
      path: a part of a checkpoint. Reading a folder of Orbax waits for every process.

    Returns:
      The tree, its leaves NumPy arrays.

    Raises:
      InputError: if it is missing or damaged.
    """
    if path.suffix == ".safetensors":
        return load_tensors(path)
    # Half a second to import, and only training runs and older checkpoints need it.
    from tpsm_jax.checkpoints import orbax_io

    return orbax_io.load_tree(path)
