"""animate.py as a command: transparent pictures, and what it says of pictures and folders."""

import os
import re

import numpy as np
import pytest
from PIL import Image

from tests.helpers.videos import make_clip
from tests.scripts import test_animate
from tpsm_jax.animation.animator import Animator
from tpsm_jax.checkpoints.converted import load_checkpoint
from tpsm_jax.media.images import read_image
from tpsm_jax.media.video_reader import open_video

inputs, run = test_animate.inputs, test_animate.run


@pytest.mark.slow
def test_a_transparent_source_is_on_white_or_another_color(run, inputs, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 4), np.uint8)
    noise[:, :32, 3], noise[:, 32:, 3] = 0, 255
    Image.fromarray(noise).save(tmp_path / "noisy.png")
    frames = {}
    for name, background, options in (
        ("white", (255, 255, 255), {}),
        ("green", (0, 177, 64), {"alpha_background": "#00b140"}),
        ("stored", None, {"alpha_background": "none"}),
    ):
        flat = noise[:, :, :3].copy()
        if background is not None:
            flat[:, :32] = background
        Image.fromarray(flat).save(tmp_path / "flat.png")
        for source in ("noisy", "flat"):
            given = {"source": tmp_path / f"{source}.png", "driving": "frames", "batch_size": 2}
            code, *_ = run(
                f"{tmp_path}/{source}/", **given, **(options if source == "noisy" else {})
            )
            assert code == 0
            frames[source] = np.stack(list(open_video(tmp_path / source)))
        np.testing.assert_array_equal(frames["noisy"], frames["flat"], name)


@pytest.mark.slow
def test_what_is_squeezed_or_passed_over_is_said_once(run, inputs, tmp_path):
    frames = tmp_path / "wide"
    frames.mkdir()
    for number in (1, 2, 10):
        Image.effect_noise((160, 90), 64).convert("RGB").save(frames / f"{number}.png")
    (frames / "sound.wav").touch()
    _, _, err = run(f"{tmp_path}/out/", driving=frames, batch_size=2)
    warnings = [line for line in err.splitlines() if "warning: " in line]
    assert warnings == [
        f"warning: {frames}: 1 .wav passed over, which are no pictures",
        "warning: squeezed to 64 x 64: the source (140 x 150) and the driving frames (160 x 90); "
        "crop to the same proportions first to keep shapes",
    ]


@pytest.mark.slow
def test_a_driving_clip_is_squeezed_from_what_is_shown(run, inputs, tmp_path):
    clip = make_clip(tmp_path / "a.mp4", seconds=0.1, size="64x64", extra=["-vf", "setsar=16/9"])
    _, _, err = run(f"{tmp_path}/out/", driving=clip, batch_size=2)
    (line,) = [line for line in err.splitlines() if "warning: " in line]
    assert "and the driving frames (64 x 64, shown as 114 x 64); crop to" in line


@pytest.mark.parametrize("text", ["whitish", "#12", ""])
def test_a_color_that_is_none_is_reported(run, tmp_path, text):
    code, _, err = run(tmp_path / "out.mp4", alpha_background=text)
    assert (code, os.listdir(tmp_path)) == (2, [])
    assert re.fullmatch(r"error: argument --alpha_background: .* is no color.*\n", err)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.JPEG"])
def test_a_single_picture_as_driving_gives_a_picture(run, inputs, tmp_path, name):
    code, out, _ = run(tmp_path / name, driving="frames/1.png", mode="standard", batch_size=2)
    assert code == 0
    assert ": 1 frame, " in out
    checkpoint = load_checkpoint(inputs / "checkpoint")
    animator = Animator(checkpoint, read_image(inputs / "source.png"), mode="standard")
    (expected,) = animator.animate([read_image(inputs / "frames" / "1.png")])
    with Image.open(tmp_path / name) as image:
        assert image.format == ("PNG" if name.endswith("png") else "JPEG")
        difference = np.abs(np.asarray(image, int) - expected)
    # Batches of one and two round differently.
    assert difference.max() <= (1 if name.endswith("png") else 40)
    assert os.listdir(tmp_path) == [name]
