"""Points that are known in the frames of a clip, for the losses `keypoints` and `bg_points`.

A folder of clips ROOT/train/NAME has them in ROOT/landmarks/train/NAME.npy: [frames, N, 2] float32,
(x, y) in [-1, 1] from the first pixel's middle to the last one's, NaN where a point is not known.
First come the keypoints', then perhaps `BACKGROUND_POINTS` that are fixed to the background.
"""

from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from data.clip import Clip
from data.sampling import ordered
from tpsm_jax.errors import InputError

FOLDER = "landmarks"
BACKGROUND_POINTS = 4
_ADVICE = "or set keypoints and bg_points of config.train_params.loss_weights to 0"


def wanted_landmarks(config: ConfigDict) -> int:
    """The number of landmarks that training asks for: keypoints', the background's, or none."""
    weights = config.get("train_params", {}).get("loss_weights", {})
    keypoints, background = (weights.get(name, 0) > 0 for name in ("keypoints", "bg_points"))
    if not (keypoints or background) or config.get("stage") == "avd":
        return 0
    # It imports JAX, which reading clips does without.
    from tpsm_jax.models.keypoint_detector import POINTS_PER_TPS

    points = POINTS_PER_TPS * config.model_params.common_params.num_tps
    return points + BACKGROUND_POINTS * background


def no_landmarks_prepared(path: Path) -> InputError:
    """The error for a prepared data set where landmarks are wanted."""
    return InputError(
        f"{path} is a prepared data set, which holds no landmarks: train on the folder of clips, "
        f"{_ADVICE}"
    )


def landmarks_path(clip_path: Path) -> Path:
    """The file with the landmarks of the clip at a path."""
    split = clip_path.parent
    return split.parent / FOLDER / split.name / f"{clip_path.name}.npy"


def read_landmarks(clip: Clip, count: int, first: float, second: float) -> np.ndarray:
    """The landmarks of the two frames that `Clip.pair` reads.

    Args:
      clip: the clip, of which `pair` has been read.
      count: N, the points that training wants; the file may have the background's besides.
      first: in [0, 1), as for `Clip.pair`.
      second: in [0, 1).

    Returns:
      [2, N, 2] float32, of the earlier and the later frame.

    Raises:
      InputError: there are none, not as many as wanted, or of another number of frames.
    """
    path = landmarks_path(clip.path)
    frames = clip.frame_count
    if frames is None:
        raise InputError(
            f"the losses keypoints and bg_points need landmarks, and {clip.name} is neither a "
            f"folder of frames nor a video: make it one, {_ADVICE}"
        )
    try:
        points = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise InputError(
            f"the losses keypoints and bg_points need landmarks, and {clip.name} has none: write "
            f"{path} (puppets that were drawn before need to be drawn again), {_ADVICE}"
        ) from None
    except Exception as error:  # NumPy raises nearly anything on files of other kinds
        raise InputError(
            f"{path} holds no landmarks ({type(error).__name__}): write it again"
        ) from None
    shapes = [(frames, known, 2) for known in (count, count + BACKGROUND_POINTS)]
    if points.shape not in shapes or not np.issubdtype(points.dtype, np.floating):
        raise InputError(
            f"{path} holds {points.dtype} of the shape {points.shape}, not float32 {frames} x "
            f"{count} x 2 of the clip's: write it again"
        )
    return np.array(points[ordered(first, second, frames), :count], np.float32)
