"""animate.py as a command: motions that are saved, smoothed, looped and scaled."""

import numpy as np
import pytest
from PIL import Image

from tests.helpers.small import pictures
from tests.scripts import test_animate
from tpsm_jax.animation.animator import Animator
from tpsm_jax.animation.motion import Motion, looped, smoothed
from tpsm_jax.animation.motion_file import pose_identity, read_motion_file, save_motion
from tpsm_jax.checkpoints.converted import load_checkpoint
from tpsm_jax.media.images import read_image
from tpsm_jax.media.video_reader import open_video

inputs, run = test_animate.inputs, test_animate.run


def frames_of(run, folder, name, **options):
    code, out, err = run(f"{folder / name}/", **options)
    assert code == 0, err
    return np.stack(list(open_video(folder / name)))


@pytest.mark.slow
def test_a_saved_motion_moves_as_its_clip(run, inputs, tmp_path):
    saved = tmp_path / "motion.npz"
    whole = frames_of(run, tmp_path, "whole", driving="frames", save_motion=saved)
    np.testing.assert_array_equal(whole, frames_of(run, tmp_path, "clip", driving="frames"))
    again = frames_of(run, tmp_path, "again", driving=saved)
    np.testing.assert_array_equal(whole, again)
    assert read_motion_file(saved).fps == 25
    pair = frames_of(run, tmp_path, "pair", driving=saved, side_by_side=True)
    assert pair.shape[1] == 64
    np.testing.assert_array_equal(pair[:, :, -64:], again)


@pytest.mark.slow
def test_a_motion_alone(inputs, monkeypatch, capsys, tmp_path):
    words = test_animate.arguments(inputs, tmp_path, {"save_motion": tmp_path / "motion.npz"})
    del words[1:3]  # --output
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as end:
        test_animate.run_script(test_animate.animate.main)
    assert end.value.code == 0
    assert "motion.npz: the motion of 5 frames\n" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["motion.npz"]


@pytest.mark.slow
def test_the_flags_change_the_motion(run, inputs, tmp_path):
    frames = [(frame * 255).astype(np.uint8) for frame in pictures(9, 64, 64, seed=1)]
    animator = Animator(
        load_checkpoint(inputs / "checkpoint"), read_image(inputs / "source.png"), mode="standard"
    )
    poses = np.stack(list(animator.find_poses(frames)))
    save_motion(tmp_path / "x.npz", Motion(poses, np.arange(9) / 25, 25.0), identity(inputs))
    options = {"driving": tmp_path / "x.npz", "mode": "standard"}
    made = frames_of(run, tmp_path, "out", smooth=0.2, loop=True, **options)
    motion = read_motion_file(tmp_path / "x.npz").motion_for(identity(inputs), poses[0])
    expected = list(animator.animate_poses(looped(smoothed(motion, 0.2))))
    np.testing.assert_array_equal(made, expected)


def identity(inputs):
    return pose_identity(load_checkpoint(inputs / "checkpoint"))


@pytest.mark.slow
def test_another_checkpoints_motion_is_refused(run, tmp_path):
    poses = np.zeros((2, 10, 2), np.float32)
    save_motion(tmp_path / "x.npz", Motion(poses, np.arange(2) / 25, 25.0), "0" * 32)
    code, _, err = run(tmp_path / "out.mp4", driving=tmp_path / "x.npz")
    assert (code, [path.name for path in tmp_path.iterdir()]) == (2, ["x.npz"])
    assert "keypoints that another checkpoint found" in err


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"driving": "x.npz"}, "x.npz"),
        ({"smooth": 0}, "'0' is not a number of seconds above 0"),
        ({"motion_scale": -1}, "'-1' is not a factor from 0 to 10"),
        ({"motion_scale": 2, "mode": "standard"}, "--motion_scale: is for mode relative"),
        ({"save_motion": "x.npy"}, "'x.npy' does not end in .npz"),
        ({"driving": "x.npz", "fps": 10}, "--fps is for clips"),
        ({"driving": "x.npz", "save_motion": "y.npz"}, "--save_motion is for clips"),
        ({"driving": "x.npz", "crop_driving": "center"}, "--crop_driving is for clips"),
    ],
)
def test_what_does_not_fit_is_refused(run, tmp_path, options, line):
    code, _, err = run(tmp_path / "out.mp4", **options)
    assert (code, list(tmp_path.iterdir())) == (2, [])
    assert line in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "options", [{"smooth": 1}, {"loop": True}, {"motion_scale": 2}, {"side_by_side": True}]
)
def test_flags_that_a_saved_motion_does_not_show_are_refused(
    inputs, monkeypatch, capsys, tmp_path, options
):
    given = {"save_motion": tmp_path / "motion.npz", **options}
    words = test_animate.arguments(inputs, tmp_path, given)
    del words[1:3]  # --output
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as end:
        test_animate.run_script(test_animate.animate.main)
    assert (end.value.code, list(tmp_path.iterdir())) == (2, [])
    assert f"--{next(iter(options))}: changes what --output gets" in capsys.readouterr().err


def test_one_file_for_both_is_refused(run, tmp_path):
    code, _, err = run(tmp_path / "x.npz", save_motion=tmp_path / "x.npz")
    assert (code, list(tmp_path.iterdir())) == (2, [])
    assert err.startswith("error: argument --save_motion: is the same file as --output (")
    assert err.count("\n") == 1


@pytest.mark.slow
def test_a_squeezed_source_is_reported(run, inputs, tmp_path):
    poses = np.random.default_rng(0).uniform(-1, 1, (2, 10, 2)).astype(np.float32)
    save_motion(tmp_path / "x.npz", Motion(poses, np.arange(2) / 25, 25.0), identity(inputs))
    code, _, err = run(tmp_path / "out.mp4", driving=tmp_path / "x.npz")
    assert code == 0
    assert "squeezed to 64 x 64: the source (140 x 150)" in err


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"loop": True}])
def test_a_clip_that_fades_in_is_reported(run, tmp_path, more):
    (tmp_path / "clip").mkdir()
    noise = np.random.default_rng(0).integers(0, 200, (2, 64, 64, 3), np.uint8)
    for number, frame in enumerate([noise[0] // 64, noise[1]]):
        Image.fromarray(frame).save(tmp_path / "clip" / f"{number}.png")
    options = {"driving": tmp_path / "clip", **more}
    assert "begins with a blank frame" in run(tmp_path / "a.mp4", **options)[2]
    best = run(tmp_path / "b.mp4", find_best_frame=True, **options)
    standard = run(tmp_path / "c.mp4", mode="standard", **options)
    for code, _, err in (best, standard):
        assert (code, "blank" in err) == (0, False)
