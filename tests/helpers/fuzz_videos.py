"""Mutated videos of ten formats; see `tests.helpers.fuzzing`.

python -m tests.helpers.fuzz_videos FIRST LAST
"""

import functools
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

from data.clips import VideoClip
from tests.helpers.fuzzing import mutated, naming, run
from tests.helpers.videos import X264, encode
from tpsm_jax.media.video_reader import open_video

MEGABYTES = 1000  # a frame as large as its codec allows
_ENCODERS = {
    "a.mp4": X264,
    "a.mkv": X264,
    "a.ts": X264,
    "a.flv": X264,
    "a.webm": ("-c:v", "libvpx-vp9", "-deadline", "realtime"),
    "a.avi": ("-c:v", "mpeg4"),
    "a.mpg": ("-c:v", "mpeg2video"),
    "a.wmv": ("-c:v", "wmv2"),
    "a.ogv": ("-c:v", "libtheora"),
    "a.gif": (),
}


@functools.cache
def _made() -> dict[str, bytes]:
    """Name -> a file."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            name: encode(Path(folder) / name, *options, count=20).read_bytes()
            for name, options in _ENCODERS.items()
        }


def case(rng: random.Random, folder: Path) -> Callable[[], object]:
    """A video, and a way in which commands read it."""
    name = rng.choice(sorted(_made()))
    path = folder / name
    path.write_bytes(mutated(rng, _made()[name], [_made()[rng.choice(sorted(_made()))]]))
    position = rng.random(), rng.random()
    ways: list[Callable[[], object]] = [
        lambda: [len(frame) for _, frame in open_video(path).timed()],
        lambda: [len(frame) for frame in open_video(path, whole=True)],
        lambda: VideoClip(path).pair(*position),
    ]
    return naming(path, rng.choice(ways))


if __name__ == "__main__":
    run(case, MEGABYTES)
