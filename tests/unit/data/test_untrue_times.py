"""Files whose times are not those of their frames: the readers agree, and time does not go back."""

from pathlib import Path

import av
import numpy as np
import pytest

from data.clips import VideoClip
from tests.helpers.videos import COUNT, X264, encode, ffmpeg, make_clip
from tests.unit.data.test_video_readers_agree import check
from tpsm_jax.errors import InputError
from tpsm_jax.media.video_reader import open_video

# Packets get the times at which they are decoded.
UNTRUE = ("-c", "copy", "-bsf:v", "setts=pts=DTS")


def check_steady(path: Path, count: int = COUNT) -> None:
    """All readers give the same frames, 25 a second."""
    check(path, False)
    check_times(path, count)


def check_times(path: Path, count: int) -> None:
    clip = open_video(path)
    assert clip.fps == 25
    times = [time for time, _ in clip.timed()]
    np.testing.assert_allclose(times, np.arange(count) / 25, atol=1e-6)


def test_avi_has_no_times_of_display(tmp_path: Path) -> None:
    check_steady(encode(tmp_path / "a.avi", *X264))


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".ts"])
def test_a_copy_with_the_times_of_decoding(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"b{suffix}"
    plain = encode(tmp_path / "a.mp4", *X264)
    ffmpeg("-i", plain, *(("-c", "copy") if suffix == ".avi" else UNTRUE), path)
    check_steady(path)
    np.testing.assert_array_equal(list(open_video(path)), list(open_video(plain)))


def test_frames_that_could_be_reordered_and_are_not_keep_their_times(tmp_path: Path) -> None:
    gap = ("-vf", r"setpts=if(lt(N\,20)\,N\,N+9)/25/TB", "-fps_mode", "vfr")
    path = encode(tmp_path / "a.mkv", "-c:v", "mpeg2video", *gap)
    times = [time for time, _ in open_video(path).timed()]
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.has_b_frames
        expected = [frame.time for frame in container.decode(video=0)]
    assert np.ptp(np.diff(expected)) > 0.3
    np.testing.assert_allclose(times, expected, atol=1e-3)


@pytest.mark.parametrize("name", ["a.mpg", "a.mkv", "a.mxf"])
def test_frames_in_the_order_of_decoding_with_their_own_times(tmp_path: Path, name: str) -> None:
    check(encode(tmp_path / name, "-c:v", "mpeg2video"), True)


def test_a_size_that_changes_where_times_are_untrue(tmp_path: Path) -> None:
    for name, size in (("a.ts", "96x64"), ("b.ts", "128x96")):
        make_clip(tmp_path / name, size=size, rate=25, extra=X264)
    path = tmp_path / "clip.mkv"
    ffmpeg("-i", f"concat:{tmp_path}/a.ts|{tmp_path}/b.ts", *UNTRUE, path)
    frames = list(open_video(path, whole=True))
    assert [frame.shape[:2] for frame in frames] == [(64, 96)] * 25 + [(96, 128)] * 25
    clip = VideoClip(path)
    for number in range(50):
        _, found = clip.pair((number + 0.5) / 50, 0.0)
        np.testing.assert_array_equal(found, frames[number])


@pytest.mark.parametrize(
    ("name", "encoder", "count"),
    [
        ("a.mpg", ("-c:v", "mpeg2video"), COUNT),
        ("b.mpg", ("-c:v", "mpeg2video", "-bf", "2"), COUNT),
        ("short.mpg", ("-c:v", "mpeg2video", "-bf", "2"), 8),
    ],
)
def test_files_appended_to_one_another(
    tmp_path: Path, name: str, encoder: tuple[str, ...], count: int
) -> None:
    path = encode(tmp_path / name, *encoder, count=count)
    path.write_bytes(3 * path.read_bytes())
    check_steady(path, 3 * count)
    assert open_video(path).frame_count == 3 * count


@pytest.mark.parametrize("more", [(), UNTRUE[2:]], ids=["true", "untrue"])
def test_transport_streams_appended_to_one_another(tmp_path: Path, more: tuple[str, ...]) -> None:
    path = encode(tmp_path / "a.ts", *X264, *more)
    expected = 3 * list(open_video(path))
    path.write_bytes(3 * path.read_bytes())
    # Their packets are numbered, and where numbers are missing a packet may be.
    with pytest.raises(InputError, match="a packet is incomplete"):
        list(open_video(path, whole=True))
    np.testing.assert_array_equal(list(open_video(path)), expected)
    check_times(path, 3 * COUNT)
    count, clip = 3 * COUNT, VideoClip(path)
    for number in range(0, count, 7):
        _, found = clip.pair((number + 0.5) / count, 0.0)
        np.testing.assert_array_equal(found, expected[number])


def test_files_of_odd_times_appended_to_one_another(tmp_path: Path) -> None:
    odd = ("-vf", r"select=not(eq(mod(n\,5)\,1))", "-fps_mode", "vfr")
    path = encode(tmp_path / "a.ts", *X264, *odd)
    one = [time for time, _ in open_video(path).timed()]
    path.write_bytes(2 * path.read_bytes())
    clip = open_video(path)
    times = [time for time, _ in clip.timed()]
    assert clip.fps == pytest.approx(20, rel=0.03)
    assert clip.frame_count == len(times) == 2 * COUNT
    np.testing.assert_allclose(np.diff(times[:COUNT]), np.diff(one), atol=1e-6)
    np.testing.assert_allclose(np.diff(times[COUNT:]), np.diff(one), atol=1e-6)
    assert 0.03 < times[COUNT] - times[COUNT - 1] < 0.06
