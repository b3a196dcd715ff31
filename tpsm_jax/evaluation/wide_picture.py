"""One wide lossless picture of all frames of a clip side by side, written without holding it."""

import struct
import tempfile
import zlib
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from tpsm_jax.errors import InputError

_ROWS = 16  # gathered from the frames at a time
_UP = 2  # PNG's filter: the difference from the row above


class WidePicture:
    """A PNG of frames side by side, as pose-evaluation reads clips. A context manager.

    A row of the picture runs through all frames, so they lie in a temporary file beside it until
    the last has come. (Pillow, and every other writer here, wants the whole picture in memory:
    200 MB for a thousand frames of 256 x 256.) It is moved into place at the end.
    """

    def __init__(self, path: Path):
        """Opens the temporary files.

        Args:
          path: of the picture.
        """
        self._path = path
        self._frames = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115  # closed by __exit__
        self._partial = path.with_name(f".{path.name}.partial")
        self._shape: tuple[int, ...] = ()
        self._count = 0

    def write(self, frames: np.ndarray) -> None:
        """Appends [n, H, W, 3] uint8 frames."""
        self._shape = frames.shape[1:]
        self._count += len(frames)
        try:
            self._frames.write(np.ascontiguousarray(frames).data)
        except OSError as error:
            raise self._failure(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._encode()
                self._partial.replace(self._path)
        except OSError as failure:
            raise self._failure(failure) from None
        finally:
            self._frames.close()
            self._partial.unlink(missing_ok=True)

    def _failure(self, error: OSError) -> InputError:
        return InputError(f"cannot write {self._path}: {error.strerror or error}")

    def _encode(self) -> None:
        height, width, _ = self._shape
        self._frames.flush()
        clip = np.memmap(self._frames, np.uint8, "r", shape=(self._count, *self._shape))
        packer = zlib.compressobj(level=3)
        with open(self._partial, "wb") as file:
            file.write(b"\x89PNG\r\n\x1a\n")
            size = struct.pack(">IIBBBBB", self._count * width, height, 8, 2, 0, 0, 0)
            file.write(_chunk(b"IHDR", size))
            above = np.zeros((1, self._count * width * 3), np.uint8)
            for top in range(0, height, _ROWS):
                rows = clip[:, top : top + _ROWS].swapaxes(0, 1).reshape(-1, above.shape[1])
                change = rows - np.concatenate([above, rows[:-1]])
                above = rows[-1:]
                data = packer.compress(np.pad(change, ((0, 0), (1, 0)), constant_values=_UP).data)
                if data:
                    file.write(_chunk(b"IDAT", data))
            file.write(_chunk(b"IDAT", packer.flush()))
            file.write(_chunk(b"IEND", b""))


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
