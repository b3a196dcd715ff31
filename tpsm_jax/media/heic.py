"""Pictures of phones, HEIC, which Pillow reads where pillow-heif is installed."""

import importlib
from pathlib import Path

from tpsm_jax.errors import InputError

# What an ISO media file says that it is made of (ISO/IEC 23008-12, annex B).
_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))


def is_heic(path: str | Path) -> bool:
    """Whether a file is a HEIC or HEIF picture, by its first bytes."""
    with open(path, "rb") as file:
        head = file.read(12)
    return head[4:8] == b"ftyp" and head[8:12] in _BRANDS


def teach_pillow_heic(path: str | Path) -> None:
    """Lets Pillow read HEIC from now on.

    Args:
      path: the picture that asks for it.

    Raises:
      InputError: pillow-heif is not installed.
    """
    try:
        pillow_heif = importlib.import_module("pillow_heif")
    except ImportError:
        raise InputError(
            f"{path} is a HEIC picture: export it as JPEG (or pip install pillow-heif)"
        ) from None
    pillow_heif.register_heif_opener()
