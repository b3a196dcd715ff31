"""One wide lossless picture of all frames of a clip side by side, written in little memory."""

import contextlib
import os
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Self

import numpy as np

from tpsm_jax.errors import InputError, reason
from tpsm_jax.runtime.atomic_files import through_links

_BLOCK = 2**22  # bytes of rows gathered from the frames at a time, or one row
_UP = 2  # PNG's filter: the difference from the row above


class WidePicture:
    """A PNG of frames side by side, as pose-evaluation reads clips. A context manager.

    A row of the picture crosses all frames, so a temporary file next to it holds them until the
    last is written. (Pillow, and every other writer here, needs the whole picture in memory:
    200 MB for a thousand frames of 256 x 256.) It is moved into place at the end.
    """

    def __init__(self, path: Path):
        """Opens the temporary files.

        Args:
          path: the picture to write.
        """
        self._path = path = through_links(path)
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

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._encode()
                self._partial.replace(self._path)
        except OSError as failure:
            raise self._failure(failure) from None
        finally:
            with contextlib.suppress(OSError):  # a full disk was reported already
                self._frames.close()
            self._partial.unlink(missing_ok=True)

    def _failure(self, error: OSError) -> InputError:
        return InputError(f"cannot write {self._path}: {reason(error)}")

    def _encode(self) -> None:
        height, width, _ = self._shape
        self._frames.flush()
        packer = zlib.compressobj(level=3)
        with open(self._partial, "wb") as file:
            file.write(b"\x89PNG\r\n\x1a\n")
            size = struct.pack(">IIBBBBB", self._count * width, height, 8, 2, 0, 0, 0)
            file.write(_chunk(b"IHDR", size))
            length = self._count * width * 3
            above = np.zeros((1, length), np.uint8)
            step = max(1, _BLOCK // length)
            for top in range(0, height, step):
                rows = self._read_rows(top, min(step, height - top))
                change = np.full((len(rows), 1 + length), _UP, np.uint8)
                np.subtract(rows[:1], above, out=change[:1, 1:])
                np.subtract(rows[1:], rows[:-1], out=change[1:, 1:])
                above = rows[-1:].copy()
                data = packer.compress(change.data)
                if data:
                    file.write(_chunk(b"IDAT", data))
            file.write(_chunk(b"IDAT", packer.flush()))
            file.write(_chunk(b"IEND", b""))

    def _read_rows(self, top: int, count: int) -> np.ndarray:
        """[count, width of the picture * 3]. Read, because mapped pages would count as memory."""
        height, width, _ = self._shape
        line = width * 3
        rows = np.empty((count, self._count, line), np.uint8)
        for frame in range(self._count):
            start = (frame * height + top) * line
            part = os.pread(self._frames.fileno(), count * line, start)
            rows[:, frame] = np.frombuffer(part, np.uint8).reshape(count, line)
        return rows.reshape(count, -1)


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
