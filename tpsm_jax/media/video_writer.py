"""Frames out: a video file or numbered pictures, complete or not there at all."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import uuid
import warnings
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from tpsm_jax.errors import InputError
from tpsm_jax.media.images import to_uint8
from tpsm_jax.media.picture_file import SUFFIXES as PICTURES
from tpsm_jax.media.picture_file import PictureFile
from tpsm_jax.media.video_reader import FrameSource, ffmpeg_command
from tpsm_jax.runtime.atomic_files import replace_folder

# Chroma at half the size needs even sides: a black row or column where there is an odd one.
_YUV420 = ["-pix_fmt", "yuv420p", "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2"]
_X264 = ["-c:v", "libx264", "-crf", "18", *_YUV420, "-movflags", "+faststart"]
_VP9 = ["-c:v", "libvpx-vp9", "-crf", "24", "-b:v", "0", *_YUV420]
_VP9 += ["-row-mt", "1", "-cpu-used", "4"]  # otherwise it keeps a fast accelerator waiting
# One palette a frame: one for all frames would need the whole clip first.
_GIF = ["-vf", "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1"]
_GIF_FPS = 50.0  # viewers show delays below 20 ms as 100 ms
_ENCODERS = {".mp4": _X264, ".mov": _X264, ".mkv": _X264, ".webm": _VP9, ".gif": _GIF}
# Sound of these codecs is copied as it is; other sound is made into the first of them.
_AUDIO = {
    ".mp4": ("aac", "mp3", "ac3"),
    ".mov": ("aac", "mp3", "ac3"),
    ".mkv": ("aac", "mp3", "ac3", "opus", "vorbis", "flac"),
    ".webm": ("opus", "vorbis"),
}


class FrameWriter:
    """Writes frames next to the output, under a hidden name, and moves them into place at the end.

    A context manager: if its block ends with an exception (an interrupt is one), the written
    frames are removed and an output of an earlier run stays as it was.

    >>> with FrameWriter("result.mp4", fps=25, audio=driving) as writer:
    ...     for frame in animator.animate(driving):
    ...         writer.write(frame)
    """

    def __init__(self, path: str | Path, *, fps: float, audio: FrameSource | None = None):
        """Checks that the output can be written.

        Args:
          path: .mp4, .mov, .mkv (H.264), .webm (VP9) or .gif; or ending in "/", a folder for
            0000.png, 0001.png, ... . An existing folder is replaced if it holds nothing else.
            Or .png or .jpg, for a single frame.
          fps: frames a second of a video; a gif's are rounded to hundredths of a second each, and
            frames are left out beyond 50 a second.
          audio: the clip whose sound is added, cut to the length of the frames. Gifs and pictures
            have none.

        Raises:
          InputError: the suffix is unknown, or nothing can be written there.
        """
        self._frames: _PictureFolder | PictureFile | _VideoFile
        if str(path).endswith("/"):
            self._frames = _PictureFolder(path)
        elif str(path).lower().endswith(PICTURES):
            self._frames = PictureFile(path)
        else:
            self._frames = _VideoFile(path, fps)
        self._audio = audio

    def write(self, frame: np.ndarray) -> None:
        """Appends a frame [H, W, 3]: uint8, or floats in [0, 1], rounded to nearest.

        Raises:
          InputError: the disk is full, or the encoder gave up.
          ValueError: the frames of a video are not all of one shape.
        """
        self._frames.write(np.ascontiguousarray(to_uint8(frame)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._frames.finish(self._audio)
        finally:
            self._frames.discard()


def check_inputs_survive(output: str, *inputs: str) -> None:
    """Makes sure that writing the output replaces none of the inputs.

    Args:
      output: the path given to `FrameWriter`.
      *inputs: paths of the files and folders that are read.

    Raises:
      InputError: the output is one of them, or a folder/ that holds one.
    """
    place = Path(output).resolve()
    for path in inputs:
        if place == Path(path).resolve() or (
            output.endswith("/") and place in Path(path).resolve().parents
        ):
            raise InputError(f"writing {output} would replace {path}: name another output")


class _PictureFolder:
    def __init__(self, path: str | Path):
        self._path = Path(path).resolve()  # a link to a folder stays a link
        self._count = 0
        if self._path.exists() and not self._path.is_dir():
            raise InputError(f"{self._path} is a file: name another folder for the frames")
        if self._path.is_dir() and not all(_is_frame(file) for file in self._path.iterdir()):
            raise InputError(f"{self._path} holds other files than frames: name another folder")
        self._temporary = _reserve(self._path, "")

    def write(self, frame: np.ndarray) -> None:
        file = self._temporary / f"{self._count:04d}.png"
        try:
            Image.fromarray(frame).save(file, compress_level=1)  # lossless at any level; 1 is quick
        except OSError as error:
            raise InputError(f"cannot write the frames of {self._path}: {error}") from None
        self._count += 1

    def finish(self, audio: FrameSource | None) -> None:
        del audio
        if not self._count:
            raise InputError(f"there was no frame to write to {self._path}")
        replace_folder(self._temporary, self._path)

    def discard(self) -> None:
        shutil.rmtree(self._temporary, ignore_errors=True)


class _VideoFile:
    def __init__(self, path: str | Path, fps: float):
        self._path = Path(path).absolute()
        self._suffix = self._path.suffix.lower()
        self._fps = float(fps)
        self._count = 0
        self._shape: tuple[int, ...] = ()
        self._encoder: subprocess.Popen[bytes] | None = None
        if self._suffix not in _ENCODERS:
            known = ", ".join(_ENCODERS)
            raise InputError(
                f"cannot write {self._path}: end its name in one of {known}, "
                "in / for a folder of PNG frames, or in .png or .jpg for a single one"
            )
        if self._path.is_dir():
            raise InputError(f"{self._path} is a folder: name a file")
        self._temporary = _reserve(self._path, self._suffix)
        # A pipe would block ffmpeg once it is full.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed by discard

    def write(self, frame: np.ndarray) -> None:
        if self._encoder is None:
            self._shape = frame.shape
            self._encoder = self._start(frame.shape[0], frame.shape[1])
        if frame.shape != self._shape:
            raise ValueError(f"a frame {frame.shape} in a video of {self._shape}")
        assert self._encoder.stdin is not None
        try:
            self._encoder.stdin.write(frame.data)
        except OSError:
            raise self._failure() from None
        self._count += 1

    def _start(self, height: int, width: int) -> "subprocess.Popen[bytes]":
        command = [*ffmpeg_command(), "-loglevel", "error"]
        command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
        command += ["-r", repr(self._fps), "-i", "-", *_ENCODERS[self._suffix]]
        if self._suffix == ".gif":
            command += ["-r", repr(min(self._fps, _GIF_FPS))]
        command += [str(self._temporary.resolve())]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,  # Ctrl-C in a terminal is for us, not for ffmpeg
        )

    def finish(self, audio: FrameSource | None) -> None:
        if self._encoder is None or self._encoder.stdin is None:
            raise InputError(f"there was no frame to write to {self._path}")
        try:
            self._encoder.stdin.close()
        except OSError:
            raise self._failure() from None
        if self._encoder.wait() != 0:
            raise self._failure()
        if audio is not None and audio.audio_codec and self._suffix in _AUDIO:
            self._add_audio(audio)
        os.replace(self._temporary, self._path)

    def _add_audio(self, audio: FrameSource) -> None:
        """Adds the sound at the end, when the length to cut it to is known."""
        codecs = _AUDIO[self._suffix]
        encoders = [{"opus": "libopus"}.get(codecs[0], codecs[0])]
        if audio.audio_codec in codecs:
            encoders.insert(0, "copy")
        muxed = _reserve(self._path, self._suffix)
        command = [*ffmpeg_command(), "-loglevel", "quiet", "-i", str(self._temporary.resolve())]
        command += ["-t", repr(self._count / self._fps), "-i", str(audio.path.resolve())]
        command += ["-map", "0:v:0", "-map", "1:a:0", "-c:v", "copy", "-movflags", "+faststart"]
        try:
            for encoder in encoders:
                whole = [*command, "-c:a", encoder, str(muxed.resolve())]
                done = subprocess.run(
                    whole, stdin=subprocess.DEVNULL, start_new_session=True, check=False
                )
                if done.returncode == 0:
                    os.replace(muxed, self._temporary)
                    return
            message = f"the sound of {audio.path} was left out: ffmpeg cannot read it"
            warnings.warn(message, stacklevel=4)
        finally:
            muxed.unlink(missing_ok=True)

    def _failure(self) -> InputError:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return InputError(f"ffmpeg could not write {self._path}: {lines[-1] if lines else '?'}")

    def discard(self) -> None:
        if self._encoder is not None and self._encoder.stdin is not None:
            self._encoder.kill()  # does nothing if it has ended
            with contextlib.suppress(OSError):  # no process is left to read the buffer
                self._encoder.stdin.close()
            self._encoder.wait()
        self._errors.close()
        self._temporary.unlink(missing_ok=True)


def _reserve(path: Path, suffix: str) -> Path:
    """A hidden empty file next to `path`, or a folder if it has no suffix: a trial of writing."""
    reserved = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{suffix}")
    try:
        if suffix:
            reserved.touch(exist_ok=False)
        else:
            reserved.mkdir()
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"cannot write {path}: {reason} ({path.parent}/)") from None
    return reserved


def _is_frame(file: Path) -> bool:
    # Hidden files belong to the system, such as .DS_Store.
    return file.name.startswith(".") or (file.suffix == ".png" and file.stem.isdigit())
