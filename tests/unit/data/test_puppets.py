"""The same numbers give the same clip, figures move, and identities and splits differ."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.puppets import clip_frames, draw_clip, split_identities
from data.puppets.appearance import appearance
from data.puppets.canvas import Canvas
from data.puppets.data_set import choose_clips
from data.puppets.motion import FRAMES_PER_SECOND, KINDS, Motion
from data.puppets.skeleton import FLOOR, skeleton
from tests.helpers.paths import ROOT


def motion_of(kind: str) -> int:
    return next(number for number in range(200) if Motion(number).kind == kind)


def test_a_clip_is_deterministic() -> None:
    first = draw_clip(5, 8, num_frames=3, size=48)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, draw_clip(5, 8, num_frames=3, size=48))


def test_a_clip_is_the_same_in_another_process() -> None:
    """Nothing depends on hash seeds or on earlier drawings."""
    code = (
        "import hashlib; from data.puppets import draw_clip;"
        "print(hashlib.sha256(draw_clip(5, 8, num_frames=2, size=48).tobytes()).hexdigest())"
    )
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    here = draw_clip(5, 8, num_frames=2, size=48)
    assert printed.strip() == hashlib.sha256(here.tobytes()).hexdigest()


def test_a_longer_clip_begins_as_a_shorter_one() -> None:
    longer = draw_clip(1, 2, num_frames=5, size=32)
    np.testing.assert_array_equal(longer[:2], draw_clip(1, 2, num_frames=2, size=32))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_motion_moves_and_moves_smoothly(kind: str) -> None:
    clip = draw_clip(3, motion_of(kind), num_frames=FRAMES_PER_SECOND, size=64).astype(float)
    from_start = np.abs(clip - clip[0]).mean(axis=(1, 2, 3))
    steps = np.abs(np.diff(clip, axis=0)).mean(axis=(1, 2, 3))
    assert steps.min() > 0.1, "the figure stands still"
    assert from_start.max() > 3
    assert steps.max() < 16, "the figure jumps from one frame to the next"


@pytest.mark.parametrize("kind", KINDS)
def test_joints_follow_smooth_paths_and_stay_in_the_picture(kind: str) -> None:
    look, move = appearance(2), Motion(motion_of(kind))
    bones = [skeleton(look, move(frame / FRAMES_PER_SECOND)) for frame in range(100)]
    joints = np.array([[b.head, *b.elbows, *b.hands, *b.knees, *b.feet, b.hips] for b in bones])
    assert np.linalg.norm(np.diff(joints, axis=0), axis=-1).max() < 0.075
    assert np.abs(joints[..., 0]).max() < 0.5
    assert joints[..., 1].min() > 0
    assert joints[..., 1].max() < FLOOR + 1e-9


def test_figures_stroll_with_their_feet_under_them() -> None:
    look = appearance(0)
    for number in range(20):
        poses = [Motion(number)(time / 10) for time in range(40)]
        places = np.array([pose.place for pose in poses])
        assert 0.08 < np.ptp(places) < 0.3
        feet = np.array([skeleton(look, pose).feet for pose in poses])[..., 0].mean(axis=1)
        assert np.abs(feet - places).max() < 0.06


@pytest.mark.parametrize("identity", range(5))
def test_arms_keep_their_length(identity: int) -> None:
    look, move = appearance(identity), Motion(identity)
    for frame in range(0, 60, 7):
        bones = skeleton(look, move(frame / FRAMES_PER_SECOND))
        for start, end in zip(
            bones.shoulders + bones.elbows, bones.elbows + bones.hands, strict=True
        ):
            assert np.hypot(end[0] - start[0], end[1] - start[1]) == pytest.approx(look.arm)


def test_identities_differ() -> None:
    frames = [draw_clip(number, 0, num_frames=1, size=32)[0].astype(float) for number in range(12)]
    for i, one in enumerate(frames):
        for other in frames[:i]:
            assert np.abs(one - other).mean() > 4
    assert len({appearance(number) for number in range(500)}) == 500


def test_motions_differ() -> None:
    poses = [Motion(number)(0.3) for number in range(100)]
    assert len(set(poses)) == 100
    assert {Motion(number).kind for number in range(100)} == set(KINDS)


def test_the_scene_belongs_to_the_identity() -> None:
    corner = (slice(0, 6), slice(0, 6))
    still = [n for n in range(20) if Motion(n)(0.5).camera == (0, 0, 0, 0)][:2]
    one, other = (draw_clip(9, n, num_frames=1, size=64)[0][corner] for n in still)
    np.testing.assert_array_equal(one, other)


def test_some_backgrounds_move_and_some_do_not() -> None:
    moving = [len({Motion(n)(t).camera for t in (0.0, 1.0, 2.0)}) > 1 for n in range(40)]
    assert 10 <= sum(moving) <= 30


@pytest.mark.parametrize("size", [16, 64, 97, (48, 80), (80, 48)])
def test_sizes(size: int | tuple[int, int]) -> None:
    height, width = (size, size) if isinstance(size, int) else size
    clip = draw_clip(0, 0, num_frames=2, size=size)
    assert clip.shape == (2, height, width, 3)
    assert clip.std() > 10


def test_a_figure_looks_alike_at_every_size() -> None:
    large = Image.fromarray(draw_clip(0, 0, num_frames=1, size=128)[0]).reduce(2)
    small = draw_clip(0, 0, num_frames=1, size=64)[0]
    # Grain and small detail differ; a figure elsewhere or of another size would be far off.
    assert np.abs(np.asarray(large).astype(float) - small)[10:-10, 16:-16].mean() < 12


def test_edges_are_anti_aliased() -> None:
    canvas = Canvas(64, 64)
    canvas.disc((0.0, 0.5), 0.3, (255, 0, 0))
    alpha = np.asarray(canvas.picture())[..., 3]
    assert alpha[32, 32] == 255
    assert alpha[2, 2] == 0
    assert ((alpha > 0) & (alpha < 255)).sum() > 60


def test_splits_are_disjoint() -> None:
    train, test = split_identities("train"), split_identities("test")
    assert len(train) > 0
    assert len(test) > 0
    assert train.stop <= test.start or test.stop <= train.start
    with pytest.raises(ValueError, match="'train' or 'test'"):
        split_identities("val")


def test_clips_of_the_splits_share_neither_identity_nor_motion() -> None:
    train, test = choose_clips("train", 50), choose_clips("test", 50)
    for clips, split in ((train, "train"), (test, "test")):
        assert len(set(clips)) == 50
        assert all(identity in split_identities(split) for identity, _ in clips)
    assert not {motion for _, motion in train} & {motion for _, motion in test}


@pytest.mark.parametrize("bad", [{"size": 8}, {"identity": -1}, {"motion": -1}, {"num_frames": -1}])
def test_bad_numbers_are_refused(bad: dict[str, int]) -> None:
    good = {"identity": 0, "motion": 0, "num_frames": 1, "size": 32}
    with pytest.raises(ValueError, match="16 x 16|from 0 up"):
        clip_frames(**(good | bad))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "data.puppets", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_command_writes_both_splits(tmp_path: Path) -> None:
    out = tmp_path / "puppets"
    done = run("--output", str(out), "--clips", "3", "--frames", "2", "--size", "32")
    assert done.returncode == 0, done.stderr
    names = sorted(str(path.relative_to(out)) for path in out.glob("*/*"))
    train = [f"train/{i:07d}#{m:07d}" for i, m in choose_clips("train", 3)]
    test = [f"test/{i:07d}#{m:07d}" for i, m in choose_clips("test", 2)]
    assert names == sorted([*train, *test, "landmarks/test", "landmarks/train"])
    known = sorted(str(path.relative_to(out)) for path in out.glob("landmarks/*/*"))
    assert known == sorted(f"landmarks/{name}.npy" for name in train + test)
    frames = sorted((out / train[2]).iterdir())
    assert len(frames) == 2
    identity, motion = choose_clips("train", 3)[2]
    expected = draw_clip(identity, motion, num_frames=2, size=32)
    np.testing.assert_array_equal(np.stack([np.asarray(Image.open(f)) for f in frames]), expected)


def test_command_refuses_bad_numbers(tmp_path: Path) -> None:
    done = run("--output", str(tmp_path), "--clips", "0")
    assert done.returncode == 2
    assert done.stderr == "error: puppets: clips and frames start at 1, size at 16 pixels\n"
    assert list(tmp_path.iterdir()) == []
