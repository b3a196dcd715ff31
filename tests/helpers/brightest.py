"""A detector for tests: the places of the most red and the most green pixel of a frame."""

import numpy as np

from detectors.interface import Detection


class Brightest:
    """Finds none in a dark frame."""

    name = "brightest pixels 1.0"
    keypoints = ("red", "green")

    def detect(self, frame: np.ndarray) -> Detection | None:
        channels = frame[..., :2].reshape(-1, 2)
        if channels.max() < 60:
            return None
        rows, columns = np.divmod(channels.argmax(axis=0), frame.shape[1])
        return Detection(np.stack([columns, rows], axis=1), channels.max(axis=0) >= 60)
