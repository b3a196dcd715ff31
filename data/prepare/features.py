"""The features of an example, which is a clip with encoded frames."""

import io
from types import ModuleType
from typing import Any

import numpy as np

from data.pipeline import import_tensorflow
from data.prepare.encoding import EncodedClip
from tpsm_jax.errors import InputError

VERSION = "1.0.0"


def import_tfds() -> ModuleType:
    """Imports TensorFlow Datasets, quiet.

    Raises:
      InputError: it is not installed.
    """
    import_tensorflow()
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise InputError(
            f"preparing clips takes TensorFlow Datasets ({error}): pip install -e '.[data]'"
        ) from None
    return tfds


def clip_features(encoding_format: str) -> Any:
    """The features of an example, a `tfds.features.FeaturesDict`.

    Args:
      encoding_format: encoding of the frames, 'jpeg' or 'png'.
    """
    features = import_tfds().features
    return features.FeaturesDict(
        {
            "name": features.Text(doc="of the clip in its folder"),
            "identity": features.Text(doc="who is seen: the name up to '#'"),
            "frame_rate": features.Scalar(np.float32, doc="frames a second, 0 if not known"),
            "num_frames": features.Scalar(np.int32),
            "height": features.Scalar(np.int32, doc="of each frame, in pixels"),
            "width": features.Scalar(np.int32),
            "frames": features.Sequence(
                features.Image(shape=(None, None, 3), encoding_format=encoding_format)
            ),
        }
    )


def clip_example(made: EncodedClip) -> dict[str, Any]:
    """A clip as an example for `encode_example` of the features. Its frames stay encoded."""
    return {
        "name": made.clip.name,
        "identity": made.clip.identity,
        "frame_rate": made.frame_rate,
        "num_frames": len(made.frames),
        "height": made.height,
        "width": made.width,
        "frames": list(map(io.BytesIO, made.frames)),
    }
