"""Pictures, sound and colors of a written video are as they were in the clip that drove it."""

import numpy as np
import pytest

from tests.helpers.videos import ffmpeg, printed
from tpsm_jax.media.video_reader import open_video
from tpsm_jax.media.video_writer import FrameWriter

# Black, then white from 0.8 s on, while a tone begins with the white.
WHITE = "color=black:size=64x64:rate=25:d=2,geq=lum='if(gte(N,20),235,16)':cb=128:cr=128"


def film(path, codec, late):
    """A clip whose pictures begin `late` seconds after the sound, or before it if negative."""
    tone = f"aevalsrc='if(gte(t,{0.8 + max(late, 0)}),sin(2*PI*440*t),0)':d=4:s=44100"
    inputs = ["-itsoffset", max(late, 0), "-f", "lavfi", "-i", WHITE, "-f", "lavfi", "-i", tone]
    if late < 0:
        tone = f"aevalsrc='if(gte(t,{0.8 + late}),sin(2*PI*440*t),0)':d=4:s=44100"
        inputs = ["-f", "lavfi", "-i", WHITE, "-itsoffset", -late, "-f", "lavfi", "-i", tone]
    ffmpeg(*inputs, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", codec, path)
    return open_video(path)


def white_and_tone(path):
    """Seconds from the first frame to the first white one, and to the tone."""
    clip = open_video(path)
    white = next(time for time, frame in clip.timed() if frame.mean() > 200)
    # Silence stands for what is missing at the beginning.
    options = ("-af", "aresample=async=1:first_pts=0", "-vn", "-ac", "1", "-ar", "8000")
    samples = np.frombuffer(ffmpeg("-i", path, *options, "-f", "s16le", "-"), np.int16)
    return white, np.flatnonzero(np.abs(samples.astype(int)) > 3000)[0] / 8000 - clip.start


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".mov"])
@pytest.mark.parametrize(
    ("name", "codec", "late"),
    [
        ("in.mp4", "aac", 0),
        ("in.mkv", "aac", 0.8),
        ("in.mp4", "aac", 0.8),
        ("in.mkv", "pcm_s16le", 0.8),
        ("in.mkv", "libopus", 0.8),
        ("in.mp4", "aac", -0.5),
        ("in.mkv", "pcm_s16le", -0.5),
    ],
)
def test_sound_stays_in_time_with_the_pictures(tmp_path, name, codec, late, suffix):
    driving = film(tmp_path / name, codec, late)
    path = tmp_path / f"out{suffix}"
    with FrameWriter(path, fps=driving.fps, audio=driving) as writer:
        for frame in driving:
            writer.write(frame)
    white, tone = white_and_tone(path)
    assert len(list(open_video(path))) == 50
    assert white == pytest.approx(0.8, abs=0.002)
    assert tone == pytest.approx(white, abs=0.025)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".gif"])
def test_frames_keep_their_times(tmp_path, suffix):
    times = [0, 0.03, 0.07, 0.1, 0.2, 0.22, 0.5, 0.9, 1.0]
    path = tmp_path / f"out{suffix}"
    with FrameWriter(path, fps=8) as writer:
        for number, time in enumerate(times):
            writer.write(np.full((32, 32, 3), 25 * number, np.uint8), time)
    clip = open_video(path)
    assert [time for time, _ in clip.timed()] == pytest.approx(times, abs=1e-3)
    assert clip.frame_count == 9


def test_a_gif_leaves_out_frames_beyond_fifty_a_second(tmp_path):
    with FrameWriter(tmp_path / "a.gif", fps=60) as writer:
        for number in range(60):
            writer.write(np.full((16, 16, 3), 4 * number, np.uint8))
    clip = open_video(tmp_path / "a.gif")
    assert clip.frame_count == 50
    assert clip.fps == pytest.approx(50)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_players_are_told_the_colors(tmp_path, suffix):
    bars = np.zeros((64, 96, 3), np.uint8)
    for number, color in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]):
        bars[:, 24 * number : 24 * number + 24] = color
    path = tmp_path / f"out{suffix}"
    with FrameWriter(path, fps=25) as writer:
        for _ in range(5):
            writer.write(bars)
    # A player that takes the tags at their word, not by the picture's size.
    tags = "in_color_matrix=smpte170m:in_range=tv"
    raw = ffmpeg("-i", path, "-vf", f"scale={tags}", "-pix_fmt", "rgb24", "-f", "rawvideo", "-")
    shown = np.frombuffer(raw, np.uint8).reshape(-1, 64, 96, 3)[0]
    assert np.abs(shown.astype(int) - bars)[:, 6::24].max() < 12
    assert "(tv, smpte170m/bt709/bt709" in printed(path)
