"""Points that are drawn along with puppets, and read for the loss `keypoints`."""

import dataclasses
import math
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from data.clips import StripClip, VideoClip
from data.landmarks import BACKGROUND_POINTS, landmarks_path, read_landmarks
from data.loader import open_dataset
from data.puppets import FRAMES_PER_SECOND, draw_clip
from data.puppets.appearance import appearance
from data.puppets.background import MARGIN, view
from data.puppets.data_set import draw_clips
from data.puppets.landmarks import (
    JOINTS,
    PARTS,
    SCENE,
    clip_landmarks,
    clip_skeletons,
    joints_in_pixels,
)
from data.puppets.motion import Motion
from data.puppets.skeleton import skeleton
from data.puppets.truth import MOST_CLIPS, hidden_joints, puppet_pairs, true_frames
from data.sample_reader import SampleReader
from data.wide_pictures import WidePictures
from tests.helpers.clip_files import SIZE, small_config, write_data_set, write_strip, write_video
from tests.helpers.prepare_files import prepare
from tpsm_jax.errors import InputError


def clip_joints(
    identity: int, motion: int, *, num_frames: int, size: int | tuple[int, int]
) -> np.ndarray:
    """The joints of a clip in [-1, 1], as landmarks are."""
    height, width = (size, size) if isinstance(size, int) else size
    bones = clip_skeletons(identity, motion, num_frames)
    return 2 * joints_in_pixels(bones, (height, width)) / (width - 1, height - 1) - 1


def pixels(points: np.ndarray, size: int) -> np.ndarray:
    return (points + 1) / 2 * (size - 1)


def test_beyond_the_wrists_are_hands_with_the_color_of_skin() -> None:
    size = 256
    arms = [
        [JOINTS.index(f"{side} {name}") for name in ("elbow", "wrist")]
        for side in ("left", "right")
    ]
    seen = 0
    for identity in range(6):
        frames = draw_clip(identity, identity, num_frames=5, size=size)
        joints = pixels(clip_joints(identity, identity, num_frames=5, size=size), size)
        skin = np.array(appearance(identity).skin)
        true = list(true_frames(identity, identity, num_frames=5, size=(size, size)))
        for index, frame in enumerate(frames):
            np.testing.assert_array_equal(true[index].picture, frame)
            np.testing.assert_allclose(true[index].joints, joints[index], atol=1e-3)
            for elbow, wrist in arms:
                if true[index].visible[wrist]:
                    hand = joints[index][wrist] * 1.15 - joints[index][elbow] * 0.15
                    column, row = np.rint(hand).astype(int)
                    np.testing.assert_allclose(frame[row, column], skin, atol=3)
                    assert true[index].figure[row, column]
                    seen += 1
    assert seen > 40


def test_points_of_a_part_surround_its_bone() -> None:
    points = clip_landmarks(3, 4, num_frames=2, size=64)[:, :50].reshape(2, len(PARTS), 5, 2)
    joints = clip_joints(3, 4, num_frames=2, size=64)
    forearm = points[:, PARTS.index("right forearm")]
    elbow, wrist = (joints[:, JOINTS.index(f"right {name}")] for name in ("elbow", "wrist"))
    np.testing.assert_allclose(forearm[:, :2].mean(1), elbow, atol=1e-5)
    np.testing.assert_allclose(forearm[:, 3:].mean(1), wrist, atol=1e-5)
    np.testing.assert_allclose(forearm[:, 2], (elbow + wrist) / 2, atol=1e-5)
    across = forearm[:, 1] - forearm[:, 0]
    np.testing.assert_allclose(np.sum(across * (wrist - elbow), -1), 0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(across, axis=-1), 0.1 * 2 * 64 / 63, rtol=1e-4)


@pytest.mark.parametrize("size", [(64, 64), (48, 96)])
def test_points_of_the_background_move_with_it(size: tuple[int, int]) -> None:
    """A scene whose colors tell the place is looked up where its points should be."""
    height, width = size
    motion = next(n for n in range(20) if any(Motion(n)(0.0).camera))
    points = clip_landmarks(1, motion, num_frames=40, size=size)[:, -BACKGROUND_POINTS:]
    tall, wide = (math.ceil(MARGIN * side) for side in size)
    ramps = np.meshgrid(np.arange(wide) + 0.5 - wide / 2, np.arange(tall) + 0.5 - tall / 2)
    moved = 0
    for index in (0, 20, 39):
        camera = Motion(motion)(index / FRAMES_PER_SECOND).camera
        seen = [
            np.asarray(view(Image.fromarray(ramp.astype(np.float32)), height, width, camera))
            for ramp in ramps
        ]
        inside = np.abs(points[index]).max(axis=1) < 0.95
        columns, rows = ((points[index] + 1) / 2 * (width - 1, height - 1)).T
        for corner in np.flatnonzero(inside):
            at = [rows[[corner]], columns[[corner]]]
            place = [ndimage.map_coordinates(each, at, order=1)[0] for each in seen]
            # Pillow's bicubic kernel bends a ramp by at most 0.097.
            np.testing.assert_allclose(place, SCENE[corner] * min(size), atol=0.1)
            moved += 1
    assert moved > 6
    assert np.ptp(points, axis=0).max() > 0.02


def test_a_wide_picture_has_the_figure_in_its_middle() -> None:
    square = pixels(clip_joints(2, 2, num_frames=1, size=32), 32)
    wide = clip_joints(2, 2, num_frames=1, size=(32, 96))
    found = (wide + 1) / 2 * (95, 31)
    np.testing.assert_allclose(found, square + (32, 0), atol=1e-4)


def test_an_arm_in_front_hides_joints() -> None:
    bones = skeleton(appearance(1), Motion(1)(0.0))
    assert not hidden_joints(bones, skirt=False)[:7].any()
    assert hidden_joints(bones, skirt=True)[[7, 9]].all()
    across = dataclasses.replace(bones, hands=(bones.hands[0], bones.chest))
    assert [JOINTS[i] for i in np.flatnonzero(hidden_joints(across, skirt=False)[:7])] == ["chest"]


def test_pairs_share_nothing_with_training_or_with_another_seed() -> None:
    names = [[c.name for c in puppet_pairs(MOST_CLIPS, seed, (64, 64))] for seed in (0, 1)]
    assert not set(names[0]) & set(names[1])
    identities = [name.replace("--", "#").split("#") for each in names for name in each]
    numbers = np.array(identities, int)
    assert numbers.min() >= 1_000_000
    assert len(set(numbers[:, :2].ravel())) == 4 * MOST_CLIPS


@pytest.mark.parametrize(("weight", "count"), [("keypoints", 50), ("bg_points", 54)])
def test_drawn_clips_have_landmarks_that_training_reads(
    tmp_path: Path, weight: str, count: int
) -> None:
    draw_clips(tmp_path, ("train", "test"), clips=3, frames=4, size=SIZE)
    config = small_config(tmp_path)
    config.train_params.loss_weights[weight] = 10
    dataset = open_dataset(config)
    sizes = {"batch_size": 2, "num_repeats": 4, "seed": 3}
    order = dataset.order(**sizes)
    with dataset.batches(**sizes) as batches:
        for step, batch in enumerate(islice(batches, 3)):
            assert batch["source_landmarks"].shape == (2, count, 2)
            for row, name in enumerate(batch["name"]):
                identity, motion = map(int, name.split("#"))
                known = clip_landmarks(identity, motion, num_frames=4, size=SIZE)[:, :count]
                numbers = sorted(int(4 * x) for x in order.draws(2 * step + row).frames)
                np.testing.assert_array_equal(batch["source_landmarks"][row], known[numbers[0]])
                np.testing.assert_array_equal(batch["driving_landmarks"][row], known[numbers[1]])
    config.train_params.loss_weights[weight] = 0
    assert sorted(open_dataset(config).reader.spec) == ["driving", "source"]


def damage(path: Path, how: str) -> None:
    points = np.zeros((5, 50, 2), np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    if how == "other frames":
        points = points[:3]
    if how == "other points":
        points = points[:, :49]
    if how == "numbers of another kind":
        points = points.astype(complex)
    if how == "no array":
        path.write_bytes(b"nothing")
    elif how == "several arrays":
        with path.open("wb") as file:
            np.savez(file, a=points)
    elif how == "objects":
        np.save(path, np.array([{}], object), allow_pickle=True)
    elif how != "missing":
        np.save(path, points)


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ("missing", "need landmarks, and clip1 has none: write .*clip1.npy"),
        ("other frames", r"of the shape \(3, 50, 2\), not float32 5 x 50 x 2"),
        ("other points", r"of the shape \(5, 49, 2\), not float32 5 x 50 x 2"),
        ("numbers of another kind", r"holds complex128 of the shape"),
        ("several arrays", "holds no landmarks"),
        ("no array", "holds no landmarks"),
        ("objects", "holds no landmarks"),
    ],
)
def test_landmarks_that_do_not_do(tmp_path: Path, how: str, match: str) -> None:
    write_data_set(tmp_path)
    config = small_config(tmp_path)
    (clip,) = (clips[0] for clips in open_dataset(config).entries if clips[0].name == "clip1")
    damage(landmarks_path(clip.path), how)
    with pytest.raises(InputError, match=match):
        SampleReader((SIZE, SIZE), landmarks=50)(clip, open_dataset(config).order(
            batch_size=1, num_repeats=1, seed=0).draws(0))  # fmt: skip


def test_landmarks_of_a_video(tmp_path: Path) -> None:
    path = tmp_path / "train" / "a.mp4"
    write_video(path, 1, 6)
    clip = VideoClip(path)
    clip.pair(0.1, 0.9)
    damage(landmarks_path(path), "other frames")
    assert landmarks_path(path) == tmp_path / "landmarks" / "train" / "a.mp4.npy"
    with pytest.raises(InputError, match=r"not float32 6 x 50 x 2"):
        read_landmarks(clip, 50, 0.1, 0.9)
    points = np.arange(6 * 50 * 2, dtype=np.float32).reshape(6, 50, 2)
    np.save(landmarks_path(path), points)
    np.testing.assert_array_equal(read_landmarks(clip, 50, 0.9, 0.1), points[[0, 5]])
    np.testing.assert_array_equal(read_landmarks(clip, 46, 0.9, 0.1), points[[0, 5], :46])


def test_a_prepared_set_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_data_set(tmp_path / "clips")
    assert prepare(monkeypatch, tmp_path / "clips", tmp_path / "prepared") == 0
    config = small_config(tmp_path / "prepared")
    config.train_params.loss_weights.keypoints = 1
    with pytest.raises(InputError, match="prepared data set, which holds no landmarks: train on"):
        open_dataset(config)


def test_a_wide_picture_has_none(tmp_path: Path) -> None:
    path = tmp_path / "train" / "a.png"
    write_strip(path, 1, 3)
    with pytest.raises(InputError, match=r"a.png is neither a folder of frames nor a video"):
        read_landmarks(StripClip(path, WidePictures((SIZE, SIZE), False)), 50, 0.1, 0.9)


def test_the_stage_of_another_network_reads_none(tmp_path: Path) -> None:
    write_data_set(tmp_path)
    config = small_config(tmp_path)
    config.train_params.loss_weights.keypoints = 1
    with config.unlocked():
        config.stage = "avd"
    assert sorted(open_dataset(config).reader.spec) == ["driving", "source"]
