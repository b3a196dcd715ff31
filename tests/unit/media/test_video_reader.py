"""Driving clips of every kind, read twice, and what is none."""

import contextlib
import math
import os
import types
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from tests.helpers.videos import ffmpeg, make_clip
from tpsm_jax.errors import InputError
from tpsm_jax.media import video_reader
from tpsm_jax.media.container import Timing
from tpsm_jax.media.video_reader import open_video


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_a_video(tmp_path, suffix):
    clip = open_video(make_clip(tmp_path / f"clip{suffix}"))
    frames = list(clip)
    assert (clip.fps, clip.frame_count, clip.audio_codec) == (30, 30, None)
    assert len(frames) == 30
    assert {(frame.shape, frame.dtype.name) for frame in frames} == {((48, 80, 3), "uint8")}
    np.testing.assert_array_equal(frames, list(clip))


def test_a_videos_pixels_are_those_of_imageio(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", rate="24000/1001", seconds=2)
    reader = imageio_ffmpeg.count_frames_and_secs(str(path))
    ffmpeg("-i", path, "-pix_fmt", "rgb24", "-f", "rawvideo", tmp_path / "raw")
    expected = np.fromfile(tmp_path / "raw", np.uint8).reshape(-1, 48, 80, 3)
    clip = open_video(path)
    np.testing.assert_array_equal(list(clip), expected)
    assert clip.fps == 24000 / 1001
    assert clip.frame_count == reader[0] == len(expected)


def test_a_clip_filmed_upright_is_turned(tmp_path):
    make_clip(tmp_path / "lying.mp4")
    ffmpeg(
        "-display_rotation", 90, "-i", tmp_path / "lying.mp4", "-c", "copy", tmp_path / "clip.mp4"
    )
    assert next(iter(open_video(tmp_path / "clip.mp4"))).shape == (80, 48, 3)


def test_sound_is_noticed(tmp_path):
    clip = open_video(make_clip(tmp_path / "clip.mp4", audio=["aac"]))
    assert (clip.audio_codec, len(list(clip))) == ("aac", 30)


def open_files():
    links = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
    return {os.readlink(link) for link in links if os.path.lexists(link)}


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs Linux's /proc")
@pytest.mark.parametrize("whole", [False, True])
def test_stopping_early_closes_the_file(tmp_path, whole):
    path = make_clip(tmp_path / "clip.mp4", seconds=20)
    clip = open_video(path, whole=whole)
    assert str(path) not in open_files()
    for frames in (iter(clip), clip.timed()):
        next(frames)
        assert str(path) in open_files()
        frames.close()
        assert str(path) not in open_files()


def moving_square(count=5):
    frames = np.zeros((count, 40, 50, 3), np.uint8)
    for index, frame in enumerate(frames):
        frame[10:20, 5 * index : 5 * index + 10] = (255, 80, 10 * index)
    return frames


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_an_animated_picture(tmp_path, suffix):
    images = [Image.fromarray(frame) for frame in moving_square()]
    options = {"lossless": True} if suffix == ".webp" else {}
    path = tmp_path / f"clip{suffix}"
    images[0].save(path, save_all=True, append_images=images[1:], duration=40, **options)
    clip = open_video(path)
    assert (clip.fps, clip.frame_count, clip.audio_codec) == (25, 5, None)
    np.testing.assert_array_equal(list(clip), moving_square())
    np.testing.assert_array_equal(list(clip), moving_square())


def test_a_gif_with_its_own_durations_and_transparency(tmp_path):
    images = [Image.fromarray(frame).quantize(16) for frame in moving_square()]
    images[0].save(
        tmp_path / "clip.gif",
        save_all=True,
        append_images=images[1:],
        duration=[50, 150, 100, 0, 10],  # the last two count as a tenth of a second, as in browsers
        transparency=0,
        disposal=2,
    )
    clip = open_video(tmp_path / "clip.gif")
    assert clip.fps == 10
    assert [frame.shape for frame in clip] == [(40, 50, 3)] * 5


def test_a_folder_is_read_in_the_order_of_names(tmp_path):
    frames = moving_square(4)
    Image.fromarray(frames[2]).save(tmp_path / "c.PNG", format="png")
    Image.fromarray(frames[0]).save(tmp_path / "a.png")
    Image.fromarray(frames[1]).convert("RGBA").save(tmp_path / "b.png")
    Image.fromarray(frames[3][:20]).save(tmp_path / "d.bmp")
    Image.fromarray(frames[3]).save(tmp_path / ".hidden.png")
    (tmp_path / "notes.txt").write_text("not a frame")
    clip = open_video(tmp_path)
    assert (clip.fps, clip.frame_count, clip.audio_codec) == (25, 4, None)
    for actual, expected in zip(clip, [*frames[:3], frames[3][:20]], strict=True):
        np.testing.assert_array_equal(actual, expected)
    assert open_video(tmp_path, fps=12.5).fps == 12.5


def test_a_broken_end_is_left_out(tmp_path):
    images = [Image.fromarray(frame) for frame in moving_square(20)]
    path = tmp_path / "clip.gif"
    images[0].save(path, save_all=True, append_images=images[1:])
    path.write_bytes(path.read_bytes()[:-200])
    frames = list(open_video(path))
    assert 0 < len(frames) < 20
    np.testing.assert_array_equal(frames[0], moving_square(1)[0])

    whole = make_clip(tmp_path / "whole.mkv", seconds=3).read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole[: len(whole) // 2])
    assert 0 < len(list(open_video(cut))) < 90


def test_what_is_damaged_is_not_whole(tmp_path):
    images = [Image.fromarray(frame) for frame in moving_square(3)]
    images[0].save(tmp_path / "whole.gif", save_all=True, append_images=images[1:])
    gif = (tmp_path / "whole.gif").read_bytes()
    for cut in range(1, len(gif) - 20):  # nowhere anything but an InputError
        (tmp_path / "cut.gif").write_bytes(gif[:cut])
        with contextlib.suppress(InputError):
            assert len(list(open_video(tmp_path / "cut.gif", whole=True))) < 3

    for suffix in (".mp4", ".mkv"):
        extra = ["-movflags", "+faststart"] if suffix == ".mp4" else []
        path = make_clip(tmp_path / f"clip{suffix}", seconds=3, extra=extra)
        assert len(list(open_video(path, whole=True))) == 90
        data = bytearray(path.read_bytes())
        middle = len(data) * 2 // 3
        cut, overwritten = data[:middle], data.copy()
        overwritten[middle : middle + len(data) // 5] = bytes(len(data) // 5)
        for damaged in (cut, overwritten):
            path.write_bytes(damaged)
            assert list(open_video(path))
            with pytest.raises(InputError, match=rf"clip{suffix} is damaged after \d+ frames: "):
                list(open_video(path, whole=True))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif", "clip.webm", "clip"])
@pytest.mark.parametrize("content", [b"", b"this is no clip " * 100])
def test_what_is_no_clip_is_reported(tmp_path, name, content):
    with pytest.raises(InputError, match="there is no video"):
        open_video(tmp_path / name)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        open_video(tmp_path / name)


def test_a_clip_without_a_frame_is_reported(tmp_path):
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", "-c:a", "aac", tmp_path / "sound.mp4")
    with pytest.raises(InputError, match="no video"):
        open_video(tmp_path / "sound.mp4")
    whole = make_clip(tmp_path / "whole.mp4", extra=["-movflags", "+faststart"]).read_bytes()
    (tmp_path / "head.mp4").write_bytes(whole[: whole.index(b"mdat") + 8])
    with pytest.raises(InputError, match="no frame"):
        open_video(tmp_path / "head.mp4")


def test_a_folder_that_cannot_drive_is_reported(tmp_path):
    with pytest.raises(InputError, match="no picture"):
        open_video(tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.png"):
        open_video(tmp_path)


def test_frame_rates_that_make_no_sense_are_reported(tmp_path):
    Image.fromarray(moving_square(1)[0]).save(tmp_path / "a.png")
    for fps in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="frame rate"):
            open_video(tmp_path, fps=fps)
    with pytest.raises(InputError, match="its own frame rate"):
        open_video(tmp_path / "a.png", fps=10)


def test_frames_at_odd_times_play_in_the_clips_own_time(tmp_path):
    # Every third frame of 60 a second is left out, so the mean rate is no divisor of the base's.
    make_clip(
        tmp_path / "clip.mp4",
        seconds=3,
        rate=60,
        extra=["-vf", "select='not(eq(mod(n,7),3))'", "-fps_mode", "vfr"],
    )
    clip = open_video(tmp_path / "clip.mp4")
    assert len(list(clip)) / clip.fps == pytest.approx(3, rel=0.03)


def test_the_rates_that_ffmpeg_rounds(tmp_path):
    assert open_video(make_clip(tmp_path / "a.mp4", rate="30000/1001")).fps == 30000 / 1001


def test_times_that_are_no_numbers_are_made_up(monkeypatch):
    """A damaged .ts may have some."""
    frames = [types.SimpleNamespace(time=time, pixels=time) for time in (None, math.nan, math.inf)]
    monkeypatch.setattr(video_reader, "_decoded", lambda *_: (frame for frame in frames))
    monkeypatch.setattr(video_reader, "RgbConverter", lambda: lambda frame: frame.pixels)
    timed = video_reader._timed_frames(Path("a.ts"), Timing(25.0, True, 3), whole=False)
    assert [time for time, _ in timed] == pytest.approx([0, 0.04, 0.08])


def test_a_clip_whose_frames_are_changed_when_they_are_read(tmp_path):
    clip = open_video(make_clip(tmp_path / "clip.mp4"))
    cut = clip.changed(lambda frame: frame[10:20, :30])
    expected = [frame[10:20, :30] for frame in clip]
    np.testing.assert_array_equal(list(cut), expected)
    times, frames = zip(*cut.timed(), strict=True)
    np.testing.assert_array_equal(frames, expected)
    assert list(times) == [time for time, _ in clip.timed()]
    assert (cut.fps, cut.frame_count, cut.path) == (clip.fps, clip.frame_count, clip.path)
