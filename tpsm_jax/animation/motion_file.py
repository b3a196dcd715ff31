"""A motion in a file: keypoints to hand on in place of a video that shows a person.

An .npz file (NumPy's, without pickles) with "version", "identity" (of the detector that found the
poses), "fps", "times" [T], and the arrays of the poses, "pose_0" and so on, each with T in front.
"""

import hashlib
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from tpsm_jax.animation.motion import Motion
from tpsm_jax.errors import InputError, reason, writing
from tpsm_jax.models.interface import AnimationModel, Pose, Variables
from tpsm_jax.models.registry import family_of
from tpsm_jax.runtime.atomic_files import replaced

SUFFIX = ".npz"
_VERSION = 1
_MOST_BYTES = 10**9  # of all arrays: a file may announce any size


def is_motion_file(path: str) -> bool:
    """Whether a path is meant as a motion, and not as a clip."""
    return path.lower().endswith(SUFFIX)


def pose_identity(checkpoint: tuple[Any, AnimationModel, Variables]) -> str:
    """A name of the weights that find poses: other weights' keypoints mean something else.

    Args:
      checkpoint: (config, model, variables), what `tpsm_jax.load` returns.

    Returns:
      32 hexadecimal digits. Those of other networks, and the type that convolutions are computed
      in, make no difference.
    """
    config, _, variables = checkpoint
    finders = [net.name for net in family_of(config.model_params).networks if net.finds_pose]
    digest = hashlib.blake2b(digest_size=16)
    for part in ("params", "batch_stats"):
        trees = {name: variables[part][name] for name in finders if name in variables[part]}
        for path, leaf in jax.tree.leaves_with_path(trees):
            digest.update(f"{part}{jax.tree_util.keystr(path)}{np.shape(leaf)}".encode())
            digest.update(np.ascontiguousarray(leaf, np.float32).tobytes())
    return digest.hexdigest()


def save_motion(path: Path, motion: Motion, identity: str) -> None:
    """Writes a motion as a whole or not at all.

    Args:
      path: file that ends in .npz.
      motion: the motion.
      identity: name of the weights that found it, see `pose_identity`.

    Raises:
      InputError: it cannot be written.
    """
    leaves = {f"pose_{index}": leaf for index, leaf in enumerate(jax.tree.leaves(motion.poses))}
    with writing(path), replaced(path) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            version=np.int64(_VERSION),
            identity=np.str_(identity),
            fps=np.float64(motion.fps),
            times=motion.times,
            **leaves,
        )


class MotionFile(NamedTuple):
    """What a file holds, before a model says what its arrays mean.

    Attributes:
      path: the file.
      identity: name of the weights that found the poses.
      fps: frames a second.
      times: [T] float64, seconds.
      leaves: arrays with T in front.
    """

    path: Path
    identity: str
    fps: float
    times: np.ndarray
    leaves: list[np.ndarray]

    def motion_for(self, identity: str, like: Pose) -> Motion:
        """The motion, for a model.

        Args:
          identity: name of the model's weights.
          like: one of its poses, without a batch.

        Raises:
          InputError: other weights found the poses.
        """
        wanted, structure = jax.tree.flatten(like)
        shapes = [leaf.shape[1:] for leaf in self.leaves]
        if identity != self.identity or shapes != [np.shape(leaf) for leaf in wanted]:
            raise InputError(
                f"{self.path} holds keypoints that another checkpoint found, which mean something "
                "else: save the motion again with this one (--save_motion)"
            )
        return Motion(jax.tree.unflatten(structure, self.leaves), self.times, self.fps)


def read_motion_file(path: Path) -> MotionFile:
    """Reads what `save_motion` wrote.

    Raises:
      InputError: there is no such file, or it holds something else.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is no file")  # a pipe would be waited for without end
    try:
        with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
            names = file.files
            _check_sizes(file, names)
            if "version" not in names or file["version"] != _VERSION:
                raise InputError(
                    f"{path} holds no motion of version {_VERSION}: write it by --save_motion"
                )
            count = sum(name.startswith("pose_") for name in names)
            leaves = [np.asarray(file[f"pose_{index}"], np.float32) for index in range(count)]
            times = np.asarray(file["times"], np.float64)
            found = MotionFile(path, str(file["identity"]), float(file["fps"]), times, leaves)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot read {path}: {reason(error)}") from None
    except Exception as error:  # NumPy and zlib raise nearly anything on files of other kinds
        raise InputError(
            f"{path} holds no motion ({type(error).__name__}): write it again by --save_motion"
        ) from None
    _check(found)
    return found


def _check_sizes(file: Any, names: list[str]) -> None:
    """Refuses arrays that would fill the memory, by their headers."""
    total = 0
    for name in names:
        with file.zip.open(f"{name}.npy") as member:
            version = np.lib.format.read_magic(member)
            read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
                version, np.lib.format.read_array_header_2_0
            )
            shape, _, kind = read(member)
            total += int(np.prod(shape, dtype=object)) * kind.itemsize
    if total > _MOST_BYTES:
        raise zipfile.BadZipFile


def _check(found: MotionFile) -> None:
    frames, times = len(found.times), found.times
    fits = (
        times.ndim == 1
        and frames > 0
        and found.leaves
        and all(leaf.ndim > 1 and len(leaf) == frames for leaf in found.leaves)
        and all(np.isfinite(leaf).all() for leaf in (times, *found.leaves))
        and np.isfinite(found.fps)
        and 0 < found.fps <= 1000
        and times[0] == 0
        and (np.diff(times) > 0).all()
    )
    if not fits:
        raise InputError(
            f"{found.path} holds no motion (arrays that do not fit): write it again by "
            "--save_motion"
        )
