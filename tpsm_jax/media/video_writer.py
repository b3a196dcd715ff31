"""Frames out: a video file or numbered pictures, complete or not there at all."""

import os
import shutil
import warnings
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from tpsm_jax.errors import InputError, reason
from tpsm_jax.media.container import FAILURES
from tpsm_jax.media.images import to_uint8
from tpsm_jax.media.picture_file import SUFFIXES as PICTURES
from tpsm_jax.media.picture_file import PictureFile, comment_settings
from tpsm_jax.media.picture_folder import is_picture
from tpsm_jax.media.reserved import reserve
from tpsm_jax.media.sound import CODECS, add_sound
from tpsm_jax.media.video_encoder import GIF, VP9, X264, VideoEncoder, as_rate
from tpsm_jax.media.video_reader import FrameSource
from tpsm_jax.runtime.atomic_files import replace_folder, through_links

_ENCODINGS = {".mp4": X264, ".mov": X264, ".mkv": X264, ".webm": VP9, ".gif": GIF}
_DIGITS = 4  # of the names of PNG frames, unless there are more of them


class FrameWriter:
    """Writes frames next to the output, under a hidden name, and moves them into place at the end.

    A context manager: if its block ends with an exception (an interrupt is one), the written
    frames are removed and an output of an earlier run stays as it was.

    >>> with FrameWriter("result.mp4", fps=driving.fps, audio=driving) as writer:
    ...     for frame in animator.animate(driving):
    ...         writer.write(frame)
    """

    def __init__(
        self,
        path: str | Path,
        *,
        fps: float,
        audio: FrameSource | None = None,
        comment: str = "",
    ):
        """Checks that the output can be written.

        Args:
          path: .mp4, .mov, .mkv (H.264), .webm (VP9) or .gif; or ending in "/", a folder for
            0000.png, 0001.png, ..., with more digits where there are more than 10,000. An
            existing folder is replaced if it holds nothing else. Or .png or .jpg, for a single
            frame.
          fps: frames a second of a video; a gif's are rounded to hundredths of a second each, and
            frames are left out beyond 50 a second.
          audio: the clip whose sound is added, from its first frame on and cut to the length of
            the frames. Gifs and pictures have none.
          comment: a line in ASCII that every file carries, as players and `ffprobe` show it.

        Raises:
          InputError: the suffix is unknown, or nothing can be written there.
        """
        self._frames: _PictureFolder | PictureFile | _VideoFile
        if str(path).endswith("/"):
            self._frames = _PictureFolder(path, comment)
        elif str(path).lower().endswith(PICTURES):
            self._frames = PictureFile(path, comment)
        else:
            self._frames = _VideoFile(path, fps, comment)
        self._audio = audio

    def write(self, frame: np.ndarray, time: float | None = None) -> None:
        """Appends a frame.

        Args:
          frame: [H, W, 3] uint8, or floats in [0, 1], rounded to nearest.
          time: seconds since the first frame, as `FrameSource.timed` gives them; one frame's time
            after the one before if None. Folders of pictures keep no times.

        Raises:
          InputError: the disk is full, or the encoder gave up.
          ValueError: the frames of a video are not all of one shape.
        """
        self._frames.write(np.ascontiguousarray(to_uint8(frame)), time)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._frames.finish(self._audio)
        finally:
            self._frames.discard()


def check_inputs_survive(output: str, *inputs: str) -> None:
    """Makes sure that writing the output changes none of the inputs.

    Args:
      output: the path given to `FrameWriter`.
      *inputs: paths of the files and folders that are read.

    Raises:
      InputError: the output is one of them, or a folder/ that holds one, or it would be a frame
        of a folder of frames.
    """
    place = Path(output).resolve()
    for path in inputs:
        if place == Path(path).resolve() or (
            output.endswith("/") and place in Path(path).resolve().parents
        ):
            raise InputError(f"writing {output} would replace {path}: name another output")
        if place.parent == Path(path).resolve() and is_picture(Path(output).name):
            raise InputError(f"{output} would be a frame of {path}: name another output")


class _PictureFolder:
    def __init__(self, path: str | Path, comment: str):
        self._settings = comment_settings("PNG", comment)
        self._path = Path(path).resolve()  # a link to a folder stays a link
        self._count = 0
        if self._path.exists() and not self._path.is_dir():
            raise InputError(f"{self._path} is a file: name another folder for the frames")
        if self._path.is_dir() and not all(_is_frame(file) for file in self._path.iterdir()):
            raise InputError(f"{self._path} holds other files than frames: name another folder")
        self._temporary = reserve(self._path, "")

    def write(self, frame: np.ndarray, time: float | None) -> None:
        del time
        file = self._file(self._count, _DIGITS)
        try:
            # Lossless at any level; 1 is quick.
            Image.fromarray(frame).save(file, compress_level=1, **self._settings)
        except OSError as error:
            raise InputError(f"cannot write the frames of {self._path}: {error}") from None
        self._count += 1

    def finish(self, audio: FrameSource | None) -> None:
        del audio
        if not self._count:
            raise InputError(f"there was no frame to write to {self._path}")
        digits = len(str(self._count - 1))
        if digits > _DIGITS:  # names sort in every program if all have as many
            for number in range(self._count):
                os.replace(self._file(number, _DIGITS), self._file(number, digits))
        replace_folder(self._temporary, self._path)

    def _file(self, number: int, digits: int) -> Path:
        return self._temporary / f"{number:0{digits}d}.png"

    def discard(self) -> None:
        shutil.rmtree(self._temporary, ignore_errors=True)


class _VideoFile:
    def __init__(self, path: str | Path, fps: float, comment: str):
        self._comment = comment
        path = Path(path).absolute()
        self._suffix = path.suffix.lower()
        self._path = through_links(path)
        self._rate = as_rate(fps)
        self._end = 0.0  # seconds to the end of the last frame
        self._shape: tuple[int, ...] = ()
        self._encoder: VideoEncoder | None = None
        if self._suffix not in _ENCODINGS:
            known = ", ".join(_ENCODINGS)
            raise InputError(
                f"cannot write {path}: end its name in one of {known}, "
                "in / for a folder of PNG frames, or in .png or .jpg for a single one"
            )
        if self._path.is_dir():
            raise InputError(f"{self._path} is a folder: name a file")
        self._temporary = reserve(self._path, self._suffix)

    def write(self, frame: np.ndarray, time: float | None) -> None:
        if self._shape and frame.shape != self._shape:
            raise ValueError(f"a frame {frame.shape} in a video of {self._shape}")
        self._shape = frame.shape
        time = self._end if time is None else time
        try:
            if self._encoder is None:
                encoding = _ENCODINGS[self._suffix]
                height, width, _ = frame.shape
                self._encoder = VideoEncoder(
                    self._temporary, encoding, self._rate, height, width, self._comment
                )
            self._encoder.write(frame, time)
        except FAILURES as error:
            raise self._failure(error) from None
        self._end = time + float(1 / self._rate)

    def finish(self, audio: FrameSource | None) -> None:
        if self._encoder is None:
            raise InputError(f"there was no frame to write to {self._path}")
        try:
            self._encoder.finish()
        except FAILURES as error:
            raise self._failure(error) from None
        if audio is not None and audio.audio_codec and self._suffix in CODECS:
            self._add_audio(audio)
        os.replace(self._temporary, self._path)

    def _add_audio(self, audio: FrameSource) -> None:
        """Adds the sound at the end, when the length to cut it to is known."""
        muxed = reserve(self._path, self._suffix)
        ways = [True, False] if audio.audio_codec in CODECS[self._suffix] else [False]
        why: object = ""
        try:
            for copy in ways:
                try:
                    add_sound(
                        *(self._temporary, audio.path, muxed),
                        start=audio.start,
                        seconds=self._end,
                        copy=copy,
                    )
                    os.replace(muxed, self._temporary)
                    return
                except (InputError, *FAILURES) as error:
                    why = " ".join(str(error).split())
            message = f"the sound of {audio.path} was left out: {why}"
            warnings.warn(message, stacklevel=4)
        finally:
            muxed.unlink(missing_ok=True)

    def _failure(self, error: BaseException) -> InputError:
        return InputError(f"PyAV could not write {self._path}: {reason(error)}")

    def discard(self) -> None:
        if self._encoder is not None:
            self._encoder.abandon()
        self._temporary.unlink(missing_ok=True)


def _is_frame(file: Path) -> bool:
    # Hidden files belong to the system, such as .DS_Store.
    return file.name.startswith(".") or (file.suffix == ".png" and file.stem.isdigit())
