"""Motions in files: what was saved comes back, and nothing else is taken."""

import copy
import io
import zipfile

import numpy as np
import pytest
from ml_collections import ConfigDict

from tests.helpers.small import model_params, small_model
from tpsm_jax.animation.motion import Motion
from tpsm_jax.animation.motion_file import pose_identity, read_motion_file, save_motion
from tpsm_jax.errors import InputError

POSES = np.random.default_rng(0).uniform(-1, 1, (4, 10, 2)).astype(np.float32)
MOTION = Motion(POSES, np.array([0, 0.04, 0.1, 0.2]), 20.0)


def test_what_was_saved_comes_back(tmp_path):
    save_motion(tmp_path / "x.npz", MOTION, "abc")
    found = read_motion_file(tmp_path / "x.npz").motion_for("abc", POSES[0])
    np.testing.assert_array_equal(found.poses, POSES)
    np.testing.assert_array_equal(found.times, MOTION.times)
    assert found.fps == 20
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]


def test_trees_keep_their_structure(tmp_path):
    tree = {"value": POSES, "jacobian": np.ones((4, 10, 2, 2), np.float32)}
    save_motion(tmp_path / "x.npz", Motion(tree, MOTION.times, 20.0), "abc")
    like = {name: leaf[0] for name, leaf in tree.items()}
    found = read_motion_file(tmp_path / "x.npz").motion_for("abc", like)
    np.testing.assert_array_equal(found.poses["value"], POSES)
    assert found.poses["jacobian"].shape == (4, 10, 2, 2)


@pytest.mark.parametrize(("identity", "like"), [("abd", POSES[0]), ("abc", POSES[0, :5])])
def test_other_weights_are_refused(tmp_path, identity, like):
    save_motion(tmp_path / "x.npz", MOTION, "abc")
    with pytest.raises(InputError, match="another checkpoint found"):
        read_motion_file(tmp_path / "x.npz").motion_for(identity, like)


def content(**changes):
    arrays = {"version": 1, "identity": "abc", "fps": 20.0, "times": MOTION.times, "pose_0": POSES}
    arrays |= changes
    file = io.BytesIO()
    np.savez(file, **{name: value for name, value in arrays.items() if value is not None})
    return file.getvalue()


def bomb():
    """A small file that announces an array of 8 TB."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"shape": (10**12,), "fortran_order": False, "descr": "<f8"}
        )
        made.writestr("times.npy", header.getvalue())
    return file.getvalue()


def one_array():
    file = io.BytesIO()
    np.save(file, POSES)
    return file.getvalue()


BROKEN = {
    "empty": b"",
    "text": b"no motion",
    "cut": content()[:-40],
    "one array": one_array(),
    "bomb": bomb(),
    "pickle": content(identity=np.array([{}], object)),
    "another version": content(version=2),
    "no version": content(version=None),
    "no times": content(times=None),
    "no poses": content(pose_0=None),
    "too few poses": content(pose_0=POSES[:3]),
    "falling times": content(times=MOTION.times[::-1]),
    "times of two axes": content(times=MOTION.times[:, None]),
    "no frames": content(times=np.zeros(0), pose_0=POSES[:0]),
    "not finite": content(pose_0=np.full_like(POSES, np.nan)),
    "no rate": content(fps=0.0),
    "text for poses": content(pose_0=np.array(["a"] * 4)),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_other_files_are_refused_in_one_line(tmp_path, kind):
    (tmp_path / "x.npz").write_bytes(BROKEN[kind])
    with pytest.raises(InputError, match=r"x.npz holds no motion.*--save_motion") as error:
        read_motion_file(tmp_path / "x.npz")
    assert "\n" not in str(error.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*x.npz: No such file"):
        read_motion_file(tmp_path / "x.npz")
    with pytest.raises(InputError, match="is no file"):
        read_motion_file(tmp_path)


def test_the_detector_alone_is_the_identity():
    model, variables = small_model()
    config = ConfigDict({"model_params": model_params()})
    first = pose_identity((config, model, variables))
    others = copy.deepcopy(variables)
    painter = others["params"]["inpainting_network"]["final"]["bias"]
    others["params"]["inpainting_network"]["final"]["bias"] = painter + 1
    assert pose_identity((config, model, others)) == first
    others["batch_stats"]["kp_detector"]["fg_encoder"]["bn1"]["mean"] += 1e-3
    assert pose_identity((config, model, others)) != first
