"""The weights of VGG-19 for the perceptual loss, in a checkpoint folder or in one of their own."""

import shutil
from pathlib import Path

import jax

from tpsm_jax.checkpoints.files import OLDER, VGG19, output_folder, replaced_part, stored_part
from tpsm_jax.checkpoints.safetensors_io import save_tensors
from tpsm_jax.checkpoints.trees import load_tree
from tpsm_jax.errors import InputError, writing
from tpsm_jax.models.interface import Variables
from tpsm_jax.runtime.atomic_files import replaced


def save_vgg19(folder: str | Path, variables: Variables, *, dtype: str | None = None) -> None:
    """Adds the weights of VGG-19 to a checkpoint, or makes a folder of them alone.

    Args:
      folder: a checkpoint, an empty folder, or one to make.
      variables: {"params": ...} of the module `VGG19`.
      dtype: "float32", "bfloat16" or "float16", in which to store them; None keeps their types.

    Raises:
      InputError: if `folder` holds something else or cannot be written, or a number is too large
        for `dtype`. The folder is left as it was.
    """
    folder = output_folder(folder)
    if folder.exists():
        with writing(folder / VGG19), replaced(folder / VGG19) as partial:
            save_tensors(partial, variables, dtype)
        shutil.rmtree(folder / OLDER[VGG19], ignore_errors=True)
    else:
        with replaced_part(folder) as partial:
            save_tensors(partial / VGG19, variables, dtype)


def check_vgg19(folder: str | Path) -> None:
    """Checks that there are weights of VGG-19. Unlike reading them, this waits for no process.

    Args:
      folder: a checkpoint, or what `save_vgg19` made.

    Raises:
      InputError: if there are none.
    """
    _stored(folder)


def no_vgg19(folder: str | Path) -> InputError:
    """The error of a folder without the weights of VGG-19."""
    return InputError(
        f"{folder} has no VGG-19 weights: add them by "
        f"`python convert_torch_weights.py --vgg19 vgg19-dcbb9e9d.pth --output {folder}`"
    )


def load_vgg19(folder: str | Path) -> Variables:
    """Reads the weights of VGG-19 that `save_checkpoint` or `save_vgg19` wrote.

    Every process must call this, because Orbax, which reads older folders, waits for all;
    `check_vgg19` does not wait.

    Args:
      folder: a checkpoint, or what `save_vgg19` made.

    Returns:
      {"params": ...} of the module `VGG19`, JAX arrays on the default device.

    Raises:
      InputError: if there are none, or they are damaged.
    """
    return jax.device_put(load_tree(_stored(folder)))


def _stored(folder: str | Path) -> Path:
    place = stored_part(Path(folder), VGG19)
    if place is None:
        raise no_vgg19(folder)
    return place
