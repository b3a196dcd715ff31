"""Videos made by the ffmpeg program, which is also the oracle of the readers."""

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np

PICTURE = "testsrc2=size=96x64:rate=25,hue=h=n*20"
# Frames hang on ones before and behind them, and others of them on those.
X264 = ("-c:v", "libx264", "-bf", "3", "-g", "12", "-pix_fmt", "yuv420p")
COUNT = 40


def ffmpeg(*arguments: object) -> bytes:
    """Runs ffmpeg; what it writes to "-" is returned."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-nostdin"]
    command += ["-y", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def printed(path: Path) -> str:
    """What ffmpeg prints about a file."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-i", str(path)]
    return subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True).stderr


def encode(path: Path, *options: str, picture: str = PICTURE, count: int = COUNT) -> Path:
    ffmpeg("-f", "lavfi", "-i", picture, "-frames:v", count, *options, path)
    return path


def make_clip(
    path: Path,
    *,
    seconds: float = 1.0,
    rate: int | str = 30,
    size: str = "80x48",
    audio: tuple[str, ...] | list[str] = (),
    extra: tuple[str, ...] | list[str] = (),
) -> Path:
    """A test picture with a running clock and, if `audio` names a codec, a tone."""
    inputs = ["-f", "lavfi", "-i", f"testsrc=size={size}:rate={rate}:duration={seconds}"]
    if audio:
        inputs += ["-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}"]
        extra = ["-c:a", *audio, *extra]
    ffmpeg(*inputs, "-pix_fmt", "yuv420p", *extra, path)
    return path


def decode(path: Path) -> list[np.ndarray]:
    """Every stored frame once, [H, W, 3] uint8, by the program; all of one size."""
    options = ("-map", "0:V:0", "-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-c:v", "ppm")
    data = ffmpeg("-i", path, *options, "-f", "image2pipe", "-")
    frames = []
    while data:
        _, size, _, _ = data[:40].split(b"\n", 3)
        width, height = map(int, size.split())
        begin = len(b"P6\n") + len(size) + len(b"\n255\n")
        end = begin + 3 * width * height
        frames.append(np.frombuffer(data[begin:end], np.uint8).reshape(height, width, 3))
        data = data[end:]
    return frames
