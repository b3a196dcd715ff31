"""Frames decoded from the keyframe before them are those of a reader that begins at the start."""

import subprocess
import sys
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest

from data.clips import VideoClip
from data.video_frames import FrameIndex, read_frames
from tests.helpers.videos import COUNT, X264, encode
from tpsm_jax.media.video_reader import open_video


def assert_same_frames(path: Path, frames: list[np.ndarray]) -> None:
    """The frames of every pair of the clip."""
    clip = VideoClip(path)
    count = len(frames)
    for earlier, later in [*product(range(0, count, 7), repeat=2), (count - 1, count - 1)]:
        pair = clip.pair((earlier + 0.5) / count, (later + 0.5) / count)
        for picture, number in zip(pair, sorted((earlier, later)), strict=True):
            np.testing.assert_array_equal(picture, frames[number])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "keyframes"),
    [
        ("a.mp4", X264, 4),
        ("open_gop.mp4", (*X264, "-x264-params", "open-gop=1"), None),
        ("one.mp4", (*X264, "-g", "250"), 1),
        ("no_b.mov", (*X264, "-bf", "0"), 4),
        ("full_range.mp4", (*X264, "-pix_fmt", "yuvj420p"), 4),
        ("colors.mp4", (*X264, "-pix_fmt", "yuv444p"), 4),
        ("bt709.mp4", (*X264, "-colorspace", "bt709", "-color_range", "tv"), 4),
        ("a.mkv", X264, 4),  # times in whole milliseconds
        ("ntsc.mkv", (*X264, "-r", "30000/1001"), 4),
        ("a.webm", ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-g", "12"), 4),
        ("a.m4v", ("-c:v", "mpeg4", "-g", "12"), 4),
        ("no_times.avi", ("-c:v", "mpeg4", "-bf", "2", "-g", "12"), 4),
        ("late.mp4", (*X264, "-output_ts_offset", "1.5"), 4),
        ("deep.mp4", (*X264, "-pix_fmt", "yuv420p10le"), 4),
        ("deep_422.mp4", (*X264, "-pix_fmt", "yuv422p10le"), 4),
        ("interlaced.mp4", (*X264, "-flags", "+ildct+ilme"), 4),
    ],
)  # fmt: skip
def test_the_frames_of_a_plain_video(
    tmp_path: Path, name: str, options: tuple[str, ...], keyframes: int | None
) -> None:
    path = encode(tmp_path / name, *options)
    frames = list(open_video(path))
    index = FrameIndex.of(path)
    assert index is not None
    assert index.count == len(frames) == COUNT
    assert keyframes in (None, len(index.keyframes))
    # All of them together, and each by itself.
    together = read_frames(path, index, range(COUNT))
    assert together is not None
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(together[number], frame)
        alone = read_frames(path, index, [number])
        assert alone is not None
        np.testing.assert_array_equal(alone[number], frame)
    assert_same_frames(path, frames)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("unsteady.mp4", ("-vf", "select=not(eq(mod(n\\,5)\\,1))", "-fps_mode", "vfr")),
        ("gap.mp4", ("-vf", "setpts=if(lt(N\\,20)\\,N\\,N+9)/25/TB", "-fps_mode", "vfr")),
    ],
)  # fmt: skip
def test_a_video_that_is_not_plain_is_read_from_the_start(
    tmp_path: Path, name: str, options: tuple[str, ...]
) -> None:
    path = encode(tmp_path / name, *X264, *options)
    assert FrameIndex.of(path) is None
    assert_same_frames(path, list(open_video(path)))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("raw.avi", ("-c:v", "rawvideo", "-pix_fmt", "pal8")),
        ("raw.mov", ("-c:v", "rawvideo", "-pix_fmt", "pal8")),
        ("smc.mov", ("-c:v", "smc", "-pix_fmt", "pal8")),
        ("gray.mov", ("-c:v", "qtrle", "-pix_fmt", "gray")),
    ],
)  # fmt: skip
def test_a_palette_is_not_lost(tmp_path: Path, name: str, options: tuple[str, ...]) -> None:
    path = encode(tmp_path / name, *options)
    frames = list(open_video(path))
    assert np.mean(frames) > 30
    assert_same_frames(path, frames)


@pytest.mark.parametrize("kept", [0.35, 0.8])
def test_of_a_video_that_breaks_off_the_part_before_counts(tmp_path: Path, kept: float) -> None:
    path = encode(tmp_path / "a.mp4", *X264, "-movflags", "+faststart")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    frames = list(open_video(path))
    assert 1 < len(frames) < COUNT
    assert_same_frames(path, frames)


def test_of_a_video_damaged_in_the_middle_every_frame_still_comes(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", *X264)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    path.write_bytes(content)
    count = len(list(open_video(path)))
    clip = VideoClip(path)
    pairs = [clip.pair((number + 0.5) / count, 0.0) for number in range(count)]
    assert {picture.shape for pair in pairs for picture in pair} == {(64, 96, 3)}


def test_what_is_before_the_keyframe_is_not_looked_at(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", *X264)
    frames = list(open_video(path))
    index = FrameIndex.of(path)
    assert index is not None
    assert list(index.keyframes) == [0, 12, 24, 36]
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for packet in packets[:12]:
        content[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(content)
    for numbers in ([12, 20], [15, 30], [39, 23]):
        found = read_frames(path, index, numbers)
        assert found is not None
        for number in numbers:
            np.testing.assert_array_equal(found[number], frames[number])


@pytest.mark.slow
def test_what_is_known_of_a_file_is_small(tmp_path: Path) -> None:
    """A data set of 20,000 clips keeps an index of each."""
    index = FrameIndex.of(encode(tmp_path / "a.mp4", *X264, count=1000))
    assert index is not None
    assert index.keyframes.nbytes < 400


MEMORY = """
import sys
from pathlib import Path
from data.video_frames import FrameIndex, read_frames
from tests.helpers.peak_memory import peak_memory
from tpsm_jax.media.video_reader import open_video

small, large = map(Path, sys.argv[1:])
read_frames(small, FrameIndex.of(small), [1])
list(map(len, open_video(small)))
before = peak_memory()
index = FrameIndex.of(large)
frames = read_frames(large, index, [0, index.count - 1])
for frame in open_video(large):
    pass
print(index.count, round(peak_memory() - before))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is in KiB on Linux")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Packets of a raw video are its frames: 92 MB here."""
    raw, picture = ("-c:v", "rawvideo", "-pix_fmt", "yuv420p"), "testsrc2=size=640x480:rate=25"
    small = encode(tmp_path / "small.avi", *raw, picture=picture, count=5)
    large = encode(tmp_path / "large.avi", *raw, picture=picture, count=200)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(small), str(large)], capture_output=True, check=True
    )
    count, grown = map(int, done.stdout.split())
    assert count == 200
    assert grown < 8  # MiB
