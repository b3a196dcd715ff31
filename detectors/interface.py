"""What a detector is, and how one is named on the command line."""

import importlib
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from tpsm_jax.errors import InputError


class Detection(NamedTuple):
    """What was found in one frame.

    Attributes:
      value: [K, 2] pixels, x to the right and y down, (0, 0) the outer corner of the frame's first
        pixel; or [D], an embedding.
      found: [K] bool, which of the points are there; or one bool for an embedding. What `value`
        holds where nothing was found does not matter.
    """

    value: np.ndarray
    found: np.ndarray | bool


class Detector(Protocol):
    """Finds one face or one body in a frame, by that frame alone.

    A class or function without arguments makes one. Its table is compared with another one of the
    same `name` only, so the name must give all that moves its numbers: release, model, settings.

    Attributes:
      name: a description in one line.
      keypoints: the K points' names in the order of `Detection.value`; empty for an embedding.
    """

    name: str
    keypoints: Sequence[str]

    def detect(self, frame: np.ndarray) -> Detection | None:
        """Looks at one frame.

        Args:
          frame: [H, W, 3] uint8, RGB, contiguous.

        Returns:
          What was found, or None for nothing at all.
        """


def make_detector(name: str) -> Detector:
    """Imports and makes a detector.

    Args:
      name: 'package.module:Class', importable from where the command runs.

    Returns:
      The detector.

    Raises:
      InputError: it cannot be imported, or is not made as a `Detector` is.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise InputError(f"--detector {name!r} is not PACKAGE.MODULE:CLASS")
    try:
        factory = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, TypeError, ValueError) as error:
        raise InputError(
            f"cannot import the detector {name}: {error} (is this the environment it is in?)"
        ) from None
    except AttributeError:
        raise InputError(f"the module {module_name} has no {attribute}") from None
    try:
        detector = factory()
    except Exception as error:
        # Anything can be named, and anything can go wrong in it.
        raise InputError(f"{name} makes no detector: {type(error).__name__}: {error}") from error
    missing = [part for part in ("name", "keypoints", "detect") if not hasattr(detector, part)]
    if missing:
        raise InputError(
            f"{name} is no detector: it lacks {', '.join(missing)} (see detectors/interface.py)"
        )
    return detector
