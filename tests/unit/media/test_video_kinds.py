"""Clips as people have them: what is in the file counts, not its name or what ffmpeg prints."""

import warnings

import av
import numpy as np
import pytest
from PIL import Image

from tests.helpers.videos import X264, decode, encode, ffmpeg, make_clip
from tpsm_jax.errors import InputError
from tpsm_jax.media.container import FORMATS
from tpsm_jax.media.video_reader import VIDEO_SUFFIXES, open_video

# A browser's recorder: the clock has a thousand ticks a second, and a frame comes every 33.
BROWSER = ("-vf", "select='not(mod(n,33))'", "-fps_mode", "passthrough", "-c:v", "libvpx")


def test_the_rate_of_a_browsers_recording(tmp_path):
    path = tmp_path / "clip.webm"
    encode(path, *BROWSER, picture="testsrc2=size=64x64:r=1000:d=2", count=61)
    clip = open_video(path)
    frames = list(clip.timed())
    assert clip.frame_count == len(frames) == 61
    assert clip.fps == pytest.approx(1000 / 33, rel=1e-6)
    assert len(frames) / clip.fps == pytest.approx(2, abs=0.02)
    assert frames[-1][0] == pytest.approx(1.98, abs=1e-3)


@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.ts", "a.avi", "a.mp4"])
def test_frames_that_were_left_out_are_not_announced(tmp_path, name):
    codec = {"a.webm": "libvpx", "a.avi": "mpeg4"}.get(name, "libx264")
    sparse = ("-vf", "fps=5,fps=25,mpdecimate", "-fps_mode", "vfr", "-c:v", codec)
    clip = open_video(encode(tmp_path / name, *sparse, count=10))
    assert (clip.fps, clip.frame_count) == (5, 10)
    np.testing.assert_allclose([time for time, _ in clip.timed()], np.arange(10) / 5, atol=1e-3)


def test_frames_that_were_cut_off_are_announced(tmp_path):
    path = encode(tmp_path / "a.mkv", *X264, count=100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    clip = open_video(path)
    assert (clip.fps, clip.frame_count) == (25, 100)
    assert len(list(clip)) < 60


def test_a_title_is_no_frame_rate(tmp_path):
    title = "Stream #0:0: Video: my clip at 7 fps, 3 tbr, Audio: none"
    path = make_clip(tmp_path / "clip.mkv", extra=["-metadata", f"title={title}"])
    clip = open_video(path)
    assert (clip.fps, clip.frame_count, clip.audio_codec) == (30, 30, None)


def test_metadata_that_is_no_text(tmp_path):
    path = make_clip(tmp_path / "clip.mkv", extra=["-metadata", "title=1234567890"])
    path.write_bytes(
        path.read_bytes().replace(b"1234567890", b"\xff\xfe\xe9\xff\xfe\xff\xff\xff\xff\xff")
    )
    assert len(list(open_video(path))) == 30


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".ts", ".avi"])
def test_sound_longer_than_the_pictures_announces_no_frames(tmp_path, suffix):
    inputs = ("-f", "lavfi", "-i", "testsrc=size=80x48:rate=25:duration=2")
    inputs += ("-f", "lavfi", "-i", "sine=duration=20")
    ffmpeg(*inputs, "-c:v", "mpeg4", "-c:a", "aac", tmp_path / f"clip{suffix}")
    clip = open_video(tmp_path / f"clip{suffix}")
    assert (clip.fps, len(list(clip))) == (25, 50)
    assert clip.frame_count in (50, 51)  # avi counts an empty packet


@pytest.mark.parametrize("name", ["clip.gif", "clip.webp", "clip.png", "clip", "clip.txt"])
def test_a_video_with_another_name_is_read_by_its_content(tmp_path, name):
    path = make_clip(tmp_path / "clip.mp4").rename(tmp_path / name)
    clip = open_video(path)
    assert (clip.fps, len(list(clip))) == (30, 30)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_an_animation_with_a_videos_name_is_read_by_its_content(tmp_path, suffix):
    frames = [Image.new("RGB", (16, 16), (40 * number, 0, 0)) for number in range(4)]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:], duration=40)
    clip = open_video((tmp_path / f"a{suffix}").rename(tmp_path / "a.mp4"))
    assert (clip.fps, clip.frame_count, len(list(clip))) == (25, 4, 4)


def test_the_poster_of_an_animated_png_is_no_frame(tmp_path):
    frames = [Image.new("RGB", (16, 16), (40 * number, 0, 0)) for number in range(6)]
    poster = Image.new("RGB", (16, 16), "white")
    path = tmp_path / "a.png"
    poster.save(path, save_all=True, append_images=frames, duration=40, default_image=True)
    clip = open_video(path)
    read = list(clip)
    assert (clip.fps, clip.frame_count) == (25, 6)
    np.testing.assert_array_equal(read, [np.array(frame) for frame in frames])


def test_frames_of_an_animation_have_their_own_times(tmp_path):
    frames = [Image.new("RGB", (16, 16), (40 * number, 0, 0)) for number in range(3)]
    frames[0].save(
        tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=[50, 150, 100]
    )
    clip = open_video(tmp_path / "a.gif")
    assert [time for time, _ in clip.timed()] == pytest.approx([0, 0.05, 0.2])
    assert clip.fps == pytest.approx(10)


LISTS = {
    "ffconcat": "ffconcat version 1.0\nfile secret.mp4\n",
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "concat without a head": "file 'secret.mp4'\n",
}


@pytest.mark.parametrize("text", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("name", ["clip.mp4", "clip.ffconcat", "clip.m3u8", "clip"])
def test_a_list_of_files_opens_none_of_them(tmp_path, name, text):
    make_clip(tmp_path / "secret.mp4")
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=f"{name} is no video .* formats that are read: mp4 ") as e:
        open_video(tmp_path / name)
    assert "\n" not in str(e.value)


def test_the_formats_that_are_read_are_demuxers_of_this_ffmpeg():
    names = {part for name in av.formats_available for part in name.split(",")}
    assert set(FORMATS) <= names
    known = {f".{suffix}" for suffixes in FORMATS.values() for suffix in suffixes.split()}
    assert known | {".apng", ".gif", ".webp"} == VIDEO_SUFFIXES  # which Pillow reads


def test_frames_that_begin_after_the_sound(tmp_path):
    for suffix in (".mkv", ".mp4"):
        path = tmp_path / f"clip{suffix}"
        inputs = ("-itsoffset", "0.8", "-f", "lavfi", "-i", "testsrc=size=80x48:rate=25:duration=2")
        inputs += ("-f", "lavfi", "-i", "sine=duration=2.8")
        ffmpeg(*inputs, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", path)
        clip = open_video(path)
        assert (clip.frame_count, len(list(clip))) == (50, 50)
        assert clip.start == pytest.approx(0.8, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ("-display_vflip",),
        ("-display_hflip",),
        ("-display_rotation", 90),
        ("-display_rotation", 180),
        ("-display_rotation", 270, "-display_vflip"),
        ("-display_rotation", 90, "-display_hflip"),
        ("-display_rotation", 30),
    ],
    ids=str,
)
def test_a_turned_or_flipped_clip_is_upright(tmp_path, options):
    encode(tmp_path / "lying.mp4", *X264, count=12)
    path = tmp_path / "clip.mp4"
    ffmpeg(*options, "-i", tmp_path / "lying.mp4", "-c", "copy", path)
    expected = decode(path)
    np.testing.assert_array_equal(list(open_video(path)), expected)
    assert not np.array_equal(expected[0], decode(tmp_path / "lying.mp4")[0])


def test_the_size_may_change_in_mid_stream(tmp_path):
    for name, size in (("a.ts", "96x64"), ("b.ts", "128x96")):
        make_clip(tmp_path / name, size=size, rate=25, extra=["-c:v", "libx264"])
    path = tmp_path / "clip.ts"
    ffmpeg("-i", f"concat:{tmp_path}/a.ts|{tmp_path}/b.ts", "-c", "copy", path)
    sizes = [frame.shape[:2] for frame in open_video(path, whole=True)]
    assert sizes == [(64, 96)] * 25 + [(96, 128)] * 25


def cut_clip(path, *encoder):
    """An open-GOP clip that was cut where frames hang on others that are gone, in a packet."""
    encode(path.with_name("long.ts"), *encoder, count=100)
    data = path.with_name("long.ts").read_bytes()
    path.write_bytes(data[len(data) // 188 // 3 * 188 :])
    return path


CUT = {
    "h264": (*X264[:4], "-g", "24", "-x264-params", "open-gop=1:repeat-headers=1", *X264[-2:]),
    "mpeg2": ("-c:v", "mpeg2video", "-bf", "2", "-g", "24"),
}


@pytest.mark.parametrize("encoder", CUT.values(), ids=CUT)
def test_what_hangs_on_frames_before_the_cut_is_no_damage(tmp_path, encoder):
    path = cut_clip(tmp_path / "clip.ts", *encoder)
    expected = decode(path)
    assert 40 < len(expected) < 90
    np.testing.assert_array_equal(list(open_video(path)), expected)
    np.testing.assert_array_equal(list(open_video(path, whole=True)), expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    "transfer", ["arib-std-b67", pytest.param("smpte2084", marks=pytest.mark.long)]
)
def test_high_dynamic_range_is_tone_mapped(tmp_path, transfer):
    tags = f"setparams=color_primaries=bt2020:color_trc={transfer}:colorspace=bt2020nc:range=tv"
    # Left gray, right the red of BT.709 at HLG's reference white, or as bright in PQ.
    red = bt709_red(transfer)
    planes = [f"if(lt(X\\,{32 // part})\\,{gray}\\,{value})" for part, gray, value in
              zip((1, 2, 2), (502, 512, 512), red, strict=True)]  # fmt: skip
    lum, cb, cr = planes
    picture = f"color=gray:size=64x64:rate=25,format=yuv420p10le,geq={lum}:{cb}:{cr},{tags}"
    options = f"log-level=error:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc"
    path = tmp_path / "hdr.mp4"
    options += ":lossless=1"
    encode(path, "-c:v", "libx265", "-x265-params", options, picture=picture, count=3)
    frame, raw = next(iter(open_video(path))), decode(path)[0]
    assert np.ptp(frame[:, :24].reshape(-1, 3).mean(axis=0)) < 2  # gray stays gray
    shown, as_numbers = (each[:, 40:].reshape(-1, 3).mean(axis=0) for each in (frame, raw))
    # If the tags are ignored, it is a pale, orange red.
    assert shown[0] > 120
    assert shown[1] / shown[0] < 0.9 * as_numbers[1] / as_numbers[0]


def bt709_red(transfer):
    """10-bit Y', Cb, Cr of BT.2020 for BT.709's red, 203 cd/m2 where white would be."""
    light = np.array([0.6274, 0.0691, 0.0164])  # ITU-R BT.2087
    if transfer == "smpte2084":
        power = (203 * light / 10000) ** 0.1593017578125
        signal = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    else:
        scene = 0.265 * light
        log = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
        signal = np.where(scene <= 1 / 12, np.sqrt(3 * scene), log)
    luma = np.dot([0.2627, 0.678, 0.0593], signal)
    cb, cr = (signal[2] - luma) / 1.8814, (signal[0] - luma) / 1.4746
    return round(64 + 876 * luma), round(512 + 896 * cb), round(512 + 896 * cr)


def test_nothing_is_printed_about_a_damaged_clip(tmp_path, capfd):
    path = make_clip(tmp_path / "clip.mp4", seconds=3)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 300] = bytes(300)
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(open_video(path))
        with pytest.raises(InputError, match="damaged"):
            list(open_video(path, whole=True))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "a.avi", "a.webm"])
def test_a_frame_that_is_missing_does_not_change_the_rate(tmp_path, name):
    inputs = ("-f", "lavfi", "-i", "testsrc=size=80x48:rate=25:duration=3.2", "-an")
    codec = ("-c:v", "libvpx" if name == "a.webm" else "libx264")
    gap = ("-vf", "select=not(eq(n\\,40))", "-fps_mode", "passthrough")
    ffmpeg(*inputs, *codec, *gap, tmp_path / name)
    clip = open_video(tmp_path / name)
    assert (clip.fps, clip.frame_count) == (25, 79)
    assert len(list(clip)) == 79


def test_pictures_that_vp8_does_not_show_are_no_frames(tmp_path):
    inputs = ("-f", "lavfi", "-i", "testsrc=size=80x48:rate=25:duration=4.8")
    hidden = ("-c:v", "libvpx", "-auto-alt-ref", "1", "-lag-in-frames", "16", "-b:v", "200k")
    for number in (1, 2):
        passes = ("-pass", number, "-passlogfile", tmp_path / "log")
        ffmpeg(*inputs, *hidden, *passes, tmp_path / "a.webm")
    clip = open_video(tmp_path / "a.webm")
    with av.open(str(tmp_path / "a.webm")) as container:
        assert sum(packet.size > 0 for packet in container.demux(video=0)) > 120
    assert (clip.fps, clip.frame_count) == (25, 120)
    assert len(list(clip)) == 120


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_video_is_opened_twice(tmp_path, name, monkeypatch):
    path = make_clip(tmp_path / name)
    opened, original = [], av.open
    monkeypatch.setattr(av, "open", lambda *a, **b: opened.append(a) or original(*a, **b))
    open_video(path)
    assert len(opened) == 2  # for its times, and for the first frame
