"""A clip through an animator that changes nothing: what comes out is in time with what went in."""

import numpy as np
import pytest

from tests.helpers.videos import ffmpeg
from tpsm_jax.animation.stream import animate_clip
from tpsm_jax.media.video_reader import open_video
from tpsm_jax.media.video_writer import FrameWriter


class Mirror:
    mode = "standard"
    size = (48, 64)

    def animate(self, frames, *, kp_driving_initial, motion_scale):
        del kp_driving_initial, motion_scale
        yield from list(frames)  # all are read before the first is written


def test_the_result_has_the_times_of_the_driving_frames(tmp_path, capfd):
    picture = "testsrc2=size=64x48:rate=30:d=3,select='not(between(n,20,50))*gt(mod(n,7),1)'"
    tone = "sine=duration=12"
    inputs = ("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone)
    options = ("-fps_mode", "vfr", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac")
    ffmpeg(*inputs, *options, tmp_path / "in.mp4")
    driving = open_video(tmp_path / "in.mp4")
    with FrameWriter(tmp_path / "out.mp4", fps=driving.fps, audio=driving) as writer:
        said = animate_clip(Mirror(), driving, writer)
    given = [time for time, _ in driving.timed()]
    made = [time for time, _ in open_video(tmp_path / "out.mp4").timed()]
    assert said.startswith(f"{len(given)} frames")
    assert np.ptp(np.diff(given)) > 0.9  # the pause
    assert made == pytest.approx(given, abs=1e-3)
    assert "cut short" not in capfd.readouterr().err  # 12 s of sound announce no frames
