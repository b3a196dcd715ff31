"""Driving clips as streams of frames: video files, animated pictures, folders of pictures."""

import dataclasses
import re
import subprocess
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO

import imageio_ffmpeg
import numpy as np
from PIL import Image, ImageSequence

from tpsm_jax.errors import InputError
from tpsm_jax.media.images import UNREADABLE, rgb_array
from tpsm_jax.media.picture_folder import PICTURE_SUFFIXES as PICTURE_SUFFIXES
from tpsm_jax.media.picture_folder import picture_files, read_pictures
from tpsm_jax.media.rgb import Color

DEFAULT_FPS = 25.0  # for clips without their own, as ffmpeg assumes
VIDEO_SUFFIXES = frozenset((".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".webm"))
_ANIMATED_PICTURES = frozenset((".apng", ".gif", ".png", ".webp"))
# ffmpeg prints only two digits of these.
_NTSC = {23.98: 24000 / 1001, 29.97: 30000 / 1001, 59.94: 60000 / 1001}
# ffmpeg reports these for a stream cut out of a longer one, though all frames are there.
_HARMLESS = re.compile("mmco: unref short failure|Last message repeated")


@dataclasses.dataclass(frozen=True)
class FrameSource:
    """A clip that can be read again and again, one frame in memory at a time.

    Iterating opens it again and yields [H, W, 3] uint8 frames; closing the iterator early ends
    whatever was reading.

    Attributes:
      path: the file or folder.
      fps: frames a second.
      frame_count: an estimate for progress bars (exact for folders and gifs), or None.
      audio_codec: ffmpeg's name of the first sound track's codec, or None without sound.
    """

    path: Path
    fps: float
    frame_count: int | None
    audio_codec: str | None
    _read: Callable[[], Iterator[np.ndarray]]

    def __iter__(self) -> Iterator[np.ndarray]:
        return self._read()


def open_video(
    path: str | Path,
    *,
    fps: float | None = None,
    whole: bool = False,
    alpha_background: Color | None = None,
) -> FrameSource:
    """Opens a driving clip and makes sure that it has a frame.

    Args:
      path: a video that ffmpeg reads, an animated picture (gif, webp, png), or a folder of
        pictures, which are read in the order of the numbers in their names (9.png before
        10.png); hidden files and those with another suffix are skipped.
      fps: frames a second of a folder, 25 by default. Every other clip has its own.
      whole: whether a damaged clip is an error, when it is opened or when its damage is reached.
        Otherwise ffmpeg conceals what it can, and everything after a break is left out.
      alpha_background: the color under transparent pictures of a folder, see `read_image`.

    Returns:
      The clip. A video's pixels are those of imageio's reader, which the reference uses.

    Raises:
      InputError: nothing is there, it has no frame, it cannot be decoded, or `fps` is given for
        something that is not a folder or is not positive; also while a clip that must be `whole`
        is read.
    """
    path = Path(path)
    if fps is not None and not 0 < fps < 1000:
        raise InputError(f"a frame rate of {fps:g} makes no clip: give one between 0 and 1000")
    if path.is_dir():
        return _open_folder(path, fps or DEFAULT_FPS, alpha_background)
    if not path.exists():
        raise InputError(f"there is no video, gif or folder of frames {path}")
    if fps is not None:
        raise InputError(f"{path} has its own frame rate: --fps is for a folder of frames")
    is_picture = path.suffix.lower() in _ANIMATED_PICTURES
    open_it = _open_animated_picture if is_picture else _open_with_ffmpeg
    source = open_it(path, whole)
    with closing(source._read()) as frames:  # type: ignore[type-var]  # a generator
        if next(frames, None) is None:
            raise InputError(f"{path} has no frame that can be decoded")
    return source


def without_suffix(name: str, more: Collection[str] = ()) -> str:
    """A clip's name without the suffixes of its file: "a.1.mp4.png" is "a.1".

    Args:
      name: name of a clip, a video or a picture.
      more: suffixes to remove in addition to those of videos and pictures, in lower case.
    """
    known = {*VIDEO_SUFFIXES, *PICTURE_SUFFIXES, *more}
    end = len(name)
    while (dot := name.rfind(".", 0, end)) > 0 and name[dot:end].lower() in known:
        end = dot
    return name[:end]


def _open_folder(folder: Path, fps: float, alpha_background: Color | None) -> FrameSource:
    files = picture_files(folder)

    def read() -> Iterator[np.ndarray]:
        return read_pictures(files, alpha_background)

    return FrameSource(folder, fps, len(files), None, read)


def _open_animated_picture(path: Path, whole: bool) -> FrameSource:
    milliseconds, count = 0.0, 0
    try:
        with Image.open(path) as image:
            for frame in ImageSequence.Iterator(image):
                frame.load()  # Pillow knows a frame's duration only once it is decoded
                # A duration of zero means "as you like"; browsers take a tenth of a second.
                milliseconds += frame.info.get("duration") or 100
                count += 1
    except UNREADABLE as error:
        if whole or not count:
            raise InputError(f"cannot read frame {count} of {path}: {error}") from None

    def read() -> Iterator[np.ndarray]:
        with Image.open(path) as image:
            for index in range(count):  # everything after a break in the file is left out
                image.seek(index)
                yield rgb_array(image)

    return FrameSource(path, 1000 * count / milliseconds, count, None, read)


def _open_with_ffmpeg(path: Path, whole: bool) -> FrameSource:
    # Without an output ffmpeg only prints what it found, and an error that it has nothing to do.
    command = [*ffmpeg_command(), "-i", str(path.resolve())]
    found = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    text = found.stderr.decode(errors="replace")
    # The cover of a sound file is announced as a video too.
    video = re.search(r"Stream #.*: Video: (?!.*\(attached pic\))(.*)", text)
    if video is None:
        raise InputError(f"{path} is no video that ffmpeg can read")
    rate = re.search(r" (\d+\.?\d*) fps", video.group(1))
    fps = float(rate.group(1)) if rate and float(rate.group(1)) > 0 else DEFAULT_FPS
    fps = _NTSC.get(fps, fps)
    # Clips of phones and screens have frames at odd times. At their base rate, which ffmpeg would
    # take, there would be more frames than the mean rate plays in the clip's time.
    base = re.search(r" (\d+\.?\d*k?) tbr", video.group(1))
    is_steady = not (rate and base) or base.group(1) == rate.group(1)
    audio = re.search(r"Stream #.*: Audio: (\w+)", text)
    length = re.search(r"Duration: (\d+):(\d+):(\d+\.\d+)", text)
    count = None
    if length:
        hours, minutes, seconds = map(float, length.groups())
        count = round((3600 * hours + 60 * minutes + seconds) * fps)

    return FrameSource(
        path,
        fps,
        count,
        audio.group(1) if audio else None,
        lambda: _ffmpeg_frames(path, None if is_steady else fps, whole),
    )


def ffmpeg_command() -> list[str]:
    """The ffmpeg that imageio-ffmpeg brings, never asking and never reading the terminal."""
    return [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-y"]


def _ffmpeg_frames(path: Path, fps: float | None, whole: bool) -> Iterator[np.ndarray]:
    # imageio_ffmpeg.read_frames would fork a process that already runs JAX's threads, against
    # which JAX warns. PPM pictures carry their size, so rotated clips need no special care.
    command = [*ffmpeg_command(), "-loglevel", "error", *(["-xerror"] if whole else [])]
    command += ["-i", str(path.resolve())]
    command += [] if fps is None else ["-r", repr(fps)]
    command += ["-map", "0:V:0", "-pix_fmt", "rgb24", "-c:v", "ppm", "-f", "image2pipe", "-"]
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            start_new_session=True,  # Ctrl-C in a terminal is for us, not for ffmpeg
        )
        assert process.stdout is not None
        count = 0
        try:
            while process.stdout.readline() == b"P6\n":
                width, height = map(int, process.stdout.readline().split())
                process.stdout.readline()  # the largest value, 255
                data = process.stdout.read(width * height * 3)
                if len(data) < width * height * 3:
                    break
                yield np.frombuffer(data, np.uint8).reshape(height, width, 3)
                count += 1
            if whole and (damage := _damage(process.wait(), complaints)):
                raise InputError(f"{path} is damaged after {count} frames: {damage}")
        finally:
            process.kill()
            process.stdout.close()
            process.wait()


def _damage(code: int, complaints: IO[bytes]) -> str:
    """The first error that ffmpeg printed, or ""; its exit code is 0 for a file that ends early."""
    complaints.seek(0)
    lines = complaints.read().decode(errors="replace").splitlines()
    bad = [line for line in lines if not _HARMLESS.search(line)]
    return bad[0] if bad else f"ffmpeg ended with code {code}" if code else ""
