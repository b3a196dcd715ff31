"""What lies where in a checkpoint, and how its folders are replaced.

A converted checkpoint:

    DIR/config.json         the config that the model was made with
    DIR/model.safetensors   {"params": {network: ...}, "batch_stats": {network: ...}}
    DIR/vgg19.safetensors   {"params": ...}, the weights of the perceptual loss; optional

Older versions wrote the same trees by Orbax, to DIR/variables/ and DIR/vgg19/, which are read too.

A training run's workdir:

    DIR/config.json                    the config of the run
    DIR/metrics.jsonl                  one line per logged step
    DIR/checkpoints/STEP/variables/    {"params": {network: ...}, "batch_stats": {network: ...}}
    DIR/checkpoints/STEP/ema_params/   {network: ...}, where an average is kept
    DIR/checkpoints/STEP/...           what `run.py` needs to resume

A step's folder has its name only once it is complete.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tpsm_jax.errors import InputError, writing
from tpsm_jax.runtime.atomic_files import replaced_folder

CONFIG = "config.json"
# Parts of a converted checkpoint, then of a training run, then of a step of it.
MODEL, VGG19 = "model.safetensors", "vgg19.safetensors"
STEPS, METRICS = "checkpoints", "metrics.jsonl"
VARIABLES, EMA_PARAMS = "variables", "ema_params"
# Part of a converted checkpoint -> the folder that older versions wrote by Orbax.
OLDER = {MODEL: VARIABLES, VGG19: "vgg19"}


def stored_part(folder: Path, part: str) -> Path | None:
    """Finds a part of a converted checkpoint, in either form.

    Args:
      folder: the checkpoint.
      part: `MODEL` or `VGG19`.

    Returns:
      The file, else the folder that an older version wrote; None if there is neither. Where
      `save_vgg19` was interrupted there are both, and the file is the newer one.
    """
    if (folder / part).is_file():
        return folder / part
    older = folder / OLDER[part]
    return older if older.is_dir() else None


def output_folder(folder: str | Path) -> Path:
    """Checks that a converted checkpoint may be written to a folder.

    Args:
      folder: one that is absent or empty, or a checkpoint.

    Returns:
      Its absolute path. Links are resolved, so a link stays and its target is replaced.

    Raises:
      InputError: if it holds something else.
    """
    folder = Path(folder).resolve()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; a checkpoint is a folder")
    entries = {entry.name for entry in folder.iterdir()} if folder.exists() else set()
    # The system's own hidden files, such as .DS_Store, do no harm.
    ours = {CONFIG, *OLDER, *OLDER.values()}
    others = [name for name in entries - ours if not name.startswith(".")]
    if others:
        raise InputError(
            f"{folder} holds other things than a checkpoint ({min(others)}); "
            "give a new or an empty folder"
        )
    return folder


@contextlib.contextmanager
def replaced_part(place: Path) -> Iterator[Path]:
    """Gives an empty folder to fill, which replaces `place` once it is complete.

    Args:
      place: a checkpoint, or a folder in one.

    Yields:
      The folder to fill. On an error it is removed, and `place` stays as it was.

    Raises:
      InputError: if it cannot be written.
    """
    with writing(place), replaced_folder(place) as partial:
        yield partial
