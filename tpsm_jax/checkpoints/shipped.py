"""Models that come with the package: a name in place of a folder, wherever a checkpoint is read."""

from pathlib import Path

from tpsm_jax.checkpoints.files import CONFIG, MODEL
from tpsm_jax.errors import InputError

NAMES = ("puppets",)
FOLDER = Path(__file__).resolve().parent.parent / "shipped"


def checkpoint_folder(given: str | Path) -> Path:
    """The folder that the name or the path of a checkpoint stands for.

    Args:
      given: a path, or one of `NAMES`. What lies at the path comes first.

    Returns:
      The path, or the folder of the model of that name.

    Raises:
      InputError: the model of that name is not where the package should have it.
    """
    path = Path(given)
    name = str(path)
    if name not in NAMES or path.exists():
        return path
    folder = FOLDER / name
    for part in (CONFIG, MODEL):
        if not (folder / part).is_file():
            raise InputError(
                f"the model {name!r} comes with tpsm_jax, and {folder} has no {part}: install "
                "tpsm_jax again"
            )
    return folder
