"""One picture out, for a driving clip that is one picture."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tpsm_jax.errors import InputError, reason
from tpsm_jax.media.reserved import reserve
from tpsm_jax.runtime.atomic_files import through_links

# Suffix -> Pillow's format and its settings.
_FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
}
SUFFIXES = tuple(_FORMATS)


def comment_settings(kind: str, comment: str) -> dict[str, Any]:
    """Pillow's settings that put a comment into a file.

    Args:
      kind: "PNG" or "JPEG".
      comment: the line, or "" for none.
    """
    if not comment:
        return {}
    if kind == "JPEG":
        return {"comment": comment}
    texts = PngInfo()
    texts.add_text("Comment", comment)
    return {"pnginfo": texts}


class PictureFile:
    """Takes one frame, and moves it into place at the end; used by `FrameWriter`."""

    def __init__(self, path: str | Path, comment: str = ""):
        """Tries to write next to the output.

        Args:
          path: a file that ends in one of `SUFFIXES`.
          comment: a line that the file carries.

        Raises:
          InputError: it is a folder, or nothing can be written there.
        """
        self._format, settings = _FORMATS[Path(path).suffix.lower()]
        self._settings = settings | comment_settings(self._format, comment)
        self._path = through_links(Path(path).absolute())
        self._frame: np.ndarray | None = None
        if self._path.is_dir():
            raise InputError(f"{self._path} is a folder: name a file, or end it in / for frames")
        self._temporary = reserve(self._path, Path(path).suffix)

    def write(self, frame: np.ndarray, time: float | None) -> None:
        """Takes the frame, [H, W, 3] uint8; a picture has no time.

        Raises:
          InputError: there is one already.
        """
        del time
        if self._frame is not None:
            raise InputError(
                f"{self._path} is one picture, and the driving clip has several frames: name a "
                "video, or end it in / for a folder of PNG frames"
            )
        self._frame = frame.copy()

    def finish(self, audio: object) -> None:
        """Writes the file.

        Args:
          audio: ignored; a picture has no sound.

        Raises:
          InputError: there was no frame, or the disk is full.
        """
        del audio
        if self._frame is None:
            raise InputError(f"there was no frame to write to {self._path}")
        try:
            picture = Image.fromarray(self._frame)
            picture.save(self._temporary, format=self._format, **self._settings)
            os.replace(self._temporary, self._path)
        except OSError as error:
            raise InputError(f"cannot write {self._path}: {reason(error)}") from None

    def discard(self) -> None:
        """Removes what was not moved into place."""
        self._temporary.unlink(missing_ok=True)
