"""The stream reader, the random-access reader and the ffmpeg program agree on 30 encodings."""

from pathlib import Path

import numpy as np
import pytest

from data.clips import VideoClip
from data.video_frames import FrameIndex, read_frames
from tests.helpers.videos import COUNT, X264, decode, encode, ffmpeg
from tpsm_jax.media.video_reader import open_video

UNSTEADY = ("-vf", r"select=not(eq(mod(n\,5)\,1))", "-fps_mode", "vfr")
GAP = ("-vf", r"setpts=if(lt(N\,20)\,N\,N+9)/25/TB", "-fps_mode", "vfr")
HEVC = ("-c:v", "libx265", "-x265-params", "log-level=error:keyint=12", "-pix_fmt", "yuv420p")
H263 = ("-c:v", "h263", "-vf", "scale=176:144")
# name, encoder, whether single frames are decoded from the keyframe before them (None: either)
ENCODINGS = [
    ("h264.mp4", X264, True),
    ("open_gop.mp4", (*X264, "-x264-params", "open-gop=1"), True),
    ("refresh.mp4", (*X264, "-bf", "0", "-x264-params", "intra-refresh=1"), None),
    ("lossless.mkv", (*X264, "-qp", "0"), True),
    ("full_range.mov", (*X264, "-pix_fmt", "yuvj420p"), True),
    ("yuv422.mp4", (*X264, "-pix_fmt", "yuv422p"), True),
    ("yuv444.mp4", (*X264, "-pix_fmt", "yuv444p"), True),
    ("deep.mp4", (*X264, "-pix_fmt", "yuv420p10le"), True),
    ("bt709.mp4", (*X264, "-colorspace", "bt709", "-color_range", "tv"), True),
    ("odd_sides.mp4", ("-c:v", "libx264", "-vf", "scale=95:63", "-pix_fmt", "yuv444p"), True),
    ("interlaced.ts", (*X264, "-flags", "+ildct+ilme"), True),
    ("ntsc.mkv", (*X264, "-r", "30000/1001"), True),
    ("late.mkv", (*X264, "-output_ts_offset", "1.5"), True),
    ("fragments.mp4", (*X264, "-movflags", "frag_keyframe+empty_moov"), True),
    ("a.flv", X264, True),
    ("hevc.mp4", HEVC, True),
    ("vp8.webm", ("-c:v", "libvpx", "-g", "12"), True),
    ("vp9.webm", ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-g", "12"), True),
    ("av1.webm", ("-c:v", "libsvtav1", "-preset", "12", "-g", "12"), True),
    ("mpeg4.avi", ("-c:v", "mpeg4", "-bf", "2", "-g", "12"), True),
    ("mpeg2.mpg", ("-c:v", "mpeg2video", "-bf", "2"), None),
    ("a.wmv", ("-c:v", "wmv2"), True),
    ("a.3gp", H263, True),
    ("a.ogv", ("-c:v", "libtheora"), None),
    ("mjpeg.avi", ("-c:v", "mjpeg"), True),
    ("prores.mov", ("-c:v", "prores_ks"), True),
    ("raw.avi", ("-c:v", "rawvideo", "-pix_fmt", "yuv420p"), True),
    ("ffv1.mkv", ("-c:v", "ffv1"), True),
    ("unsteady.mp4", (*X264, *UNSTEADY), False),
    ("gap.mkv", (*X264, *GAP), False),
]
QUICK = ("h264.mp4", "vp9.webm", "unsteady.mp4")


def test_there_are_thirty() -> None:
    assert len(ENCODINGS) == len({name for name, *_ in ENCODINGS}) == 30


@pytest.mark.parametrize(
    ("name", "encoder", "is_plain"),
    [
        pytest.param(*each, id=each[0], marks=[] if each[0] in QUICK else pytest.mark.slow)
        for each in ENCODINGS
    ],
)
def test_number_order_and_pixels(
    tmp_path: Path, name: str, encoder: tuple[str, ...], is_plain: bool | None
) -> None:
    check(encode(tmp_path / name, *encoder), is_plain)


@pytest.mark.slow
@pytest.mark.parametrize("turn", [("-display_rotation", 90), ("-display_vflip",)], ids=str)
def test_turned_clips(tmp_path: Path, turn: tuple) -> None:
    ffmpeg(*turn, "-i", encode(tmp_path / "a.mp4", *X264), "-c", "copy", tmp_path / "b.mp4")
    check(tmp_path / "b.mp4", True)


@pytest.mark.slow
def test_clips_cut_out_of_longer_ones(tmp_path: Path) -> None:
    whole = encode(tmp_path / "a.mp4", *X264, "-x264-params", "open-gop=1:repeat-headers=1")
    for suffix in (".mp4", ".mkv", ".ts"):
        ffmpeg("-ss", "0.7", "-i", whole, "-c", "copy", tmp_path / f"cut{suffix}")
        check(tmp_path / f"cut{suffix}", None)


def check(path: Path, is_plain: bool | None) -> None:
    expected = decode(path)
    assert len(expected) > COUNT / 2
    streamed = list(open_video(path, whole=True))
    np.testing.assert_array_equal(streamed, expected)
    timed = list(open_video(path).timed())
    np.testing.assert_array_equal([frame for _, frame in timed], expected)
    assert np.all(np.diff([time for time, _ in timed]) > 0)
    index = FrameIndex.of(path)
    assert is_plain is None or (index is not None) == is_plain
    if index is not None:
        assert index.count == len(expected)
        found = read_frames(path, index, range(index.count))
        assert found is not None or is_plain is None
    if index is not None and found is not None:
        np.testing.assert_array_equal([found[n] for n in range(index.count)], expected)
    clip, count = VideoClip(path), len(expected)
    for earlier, later in ((0, count - 1), (count // 3, count // 2), (count - 1, count - 1)):
        pair = clip.pair((later + 0.5) / count, (earlier + 0.5) / count)
        np.testing.assert_array_equal(pair, [expected[earlier], expected[later]])
