"""A hidden place next to an output, where it is written until it is complete."""

import uuid
from pathlib import Path

from tpsm_jax.errors import InputError, reason


def reserve(path: Path, suffix: str) -> Path:
    """Makes a hidden empty file next to an output, to find out whether it can be written.

    Args:
      path: the output.
      suffix: the file's suffix, by which encoders know the format; "" for a folder.

    Raises:
      InputError: nothing can be written there.
    """
    reserved = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{suffix}")
    try:
        if suffix:
            reserved.touch(exist_ok=False)
        else:
            reserved.mkdir()
    except OSError as error:
        raise InputError(f"cannot write {path}: {reason(error)} ({path.parent}/)") from None
    return reserved
