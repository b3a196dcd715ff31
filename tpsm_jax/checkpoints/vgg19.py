"""The weights of VGG-19 for the perceptual loss, in a checkpoint folder or in one of their own."""

from pathlib import Path

import jax

from tpsm_jax.checkpoints.files import VGG19, output_folder, replaced_part
from tpsm_jax.checkpoints.orbax_io import load_tree, save_tree
from tpsm_jax.errors import InputError
from tpsm_jax.models.interface import Variables


def save_vgg19(folder: str | Path, variables: Variables) -> None:
    """Adds the weights of VGG-19 to a checkpoint, or makes a folder of them alone.

    Args:
      folder: a checkpoint, an empty folder, or one to make.
      variables: {"params": ...} of the module `VGG19`.

    Raises:
      InputError: if `folder` holds something else or cannot be written. It is left as it was.
    """
    folder = output_folder(folder)
    if folder.exists():
        with replaced_part(folder / VGG19) as partial:
            save_tree(partial, variables)
    else:
        with replaced_part(folder) as partial:
            save_tree(partial / VGG19, variables)


def check_vgg19(folder: str | Path) -> None:
    """Checks that there are weights of VGG-19. Unlike reading them, this waits for no process.

    Args:
      folder: a checkpoint, or what `save_vgg19` made.

    Raises:
      InputError: if there are none.
    """
    if not (Path(folder) / VGG19).is_dir():
        raise no_vgg19(folder)


def no_vgg19(folder: str | Path) -> InputError:
    """The error of a folder without the weights of VGG-19."""
    return InputError(
        f"{folder} has no VGG-19 weights: add them by "
        f"`python convert_torch_weights.py --vgg19 vgg19-dcbb9e9d.pth --output {folder}`"
    )


def load_vgg19(folder: str | Path) -> Variables:
    """Reads the weights of VGG-19 that `save_checkpoint` or `save_vgg19` wrote.

    Every process must call this, because Orbax waits for all; `check_vgg19` does not wait.

    Args:
      folder: a checkpoint, or what `save_vgg19` made.

    Returns:
      {"params": ...} of the module `VGG19`, JAX arrays on the default device.

    Raises:
      InputError: if there are none, or they are damaged.
    """
    check_vgg19(folder)
    return jax.device_put(load_tree(Path(folder) / VGG19))
