"""Damaged videos: an error in one line or frames, and nothing else."""

import random

import pytest

from data.clips import VideoClip
from tests.helpers.videos import X264, encode
from tpsm_jax.errors import InputError
from tpsm_jax.media.video_reader import open_video

ENCODERS = {
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


def mutated(data, rng):
    data = bytearray(data)
    if rng.random() < 0.2:
        del data[rng.randrange(1, len(data)) :]
    for _ in range(rng.choice((1, 3, 10, 50))):
        # Half of the changes are in the head, where most numbers stand.
        place = rng.randrange(min(len(data), 2000) if rng.random() < 0.5 else len(data))
        if rng.random() < 0.7:
            data[place] = rng.randrange(256)
        else:
            data[place : place + rng.randrange(40)] = rng.randbytes(rng.randrange(1, 40))
    return data


@pytest.mark.parametrize(
    "count", [20, pytest.param(1000, marks=pytest.mark.long)], ids=["a few", "many"]
)
def test_a_damaged_video_gives_frames_or_one_line(tmp_path, count):
    rng = random.Random(17)
    whole = [encode(tmp_path / name, *options, count=20) for name, options in ENCODERS.items()]
    contents = {path: path.read_bytes() for path in whole}
    said = []
    for _ in range(count):
        path = rng.choice(whole)
        path.write_bytes(mutated(contents[path], rng))
        for read in (
            lambda path: sum(1 for _ in open_video(path)),
            lambda path: sum(1 for _ in open_video(path, whole=True)),
            lambda path: VideoClip(path).pair(rng.random(), rng.random()),
        ):
            try:
                read(path)
            except InputError as error:
                said.append((path.name, str(error)))
    assert said
    assert [text for name, text in said if name not in text or "\n" in text] == []
