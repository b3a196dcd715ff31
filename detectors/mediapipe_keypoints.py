"""Faces and bodies by MediaPipe 0.10.21, whose wheel carries these models; later ones carry none.

Each frame is looked at as a still picture. MediaPipe's mode for videos follows what it found before
and smooths it, which would hide the jitter of a result and make a frame depend on those before it.
"""

import importlib.metadata
import os

import numpy as np

from detectors.interface import Detection

os.environ.setdefault("GLOG_minloglevel", "2")  # its C++ logs what it runs on, at every start
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import mediapipe  # noqa: E402

_RELEASE = f"mediapipe {importlib.metadata.version('mediapipe')}"
_JOINTS = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
VISIBLE = 0.5  # from this visibility on a joint inside the frame counts as found


class Face:
    """152 points of the face mesh: outline of the face, brows, eyes, lips and nose.

    The rest of the 478 points lie on cheeks and forehead, where nothing in the picture shows their
    place; they would drown those that move. The detector before the mesh wants a face that takes
    up a good part of the frame, as in VoxCeleb. All points are found, or none.
    """

    def __init__(self) -> None:
        """Loads the models from the wheel."""
        mesh = mediapipe.solutions.face_mesh
        edges = mesh.FACEMESH_CONTOURS | mesh.FACEMESH_NOSE
        self._points = sorted({point for edge in edges for point in edge})
        self._mesh = mesh.FaceMesh(static_image_mode=True, max_num_faces=1, refine_landmarks=True)
        self.name = f"{_RELEASE} face mesh with attention, {len(self._points)} points, stills"
        self.keypoints = [f"mesh_{point}" for point in self._points]

    def detect(self, frame: np.ndarray) -> Detection | None:
        """See `Detector`."""
        faces = self._mesh.process(frame).multi_face_landmarks
        if not faces:
            return None
        value = _pixels(faces[0].landmark, self._points, frame)
        return Detection(value, np.ones(len(value), bool))


class Body:
    """The 17 joints of the COCO data set, of one person; each is found or not by itself.

    It guesses at joints that are hidden or out of the frame, too; those do not count as found.
    """

    def __init__(self) -> None:
        """Loads the models from the wheel, which holds the middle one of three sizes."""
        pose = mediapipe.solutions.pose
        self._points = [int(pose.PoseLandmark[joint.upper()]) for joint in _JOINTS]
        self._pose = pose.Pose(static_image_mode=True, model_complexity=1)
        self.name = f"{_RELEASE} pose, full model, {len(_JOINTS)} joints, stills"
        self.keypoints = list(_JOINTS)

    def detect(self, frame: np.ndarray) -> Detection | None:
        """See `Detector`."""
        body = self._pose.process(frame).pose_landmarks
        if body is None:
            return None
        visible = [body.landmark[point].visibility >= VISIBLE for point in self._points]
        value = _pixels(body.landmark, self._points, frame)
        inside = ((value >= 0) & (value <= frame.shape[1::-1])).all(axis=1)
        return Detection(value, np.array(visible) & inside)


def _pixels(landmarks: list, points: list[int], frame: np.ndarray) -> np.ndarray:
    shares = np.array([(landmarks[point].x, landmarks[point].y) for point in points])
    height, width = frame.shape[:2]
    return shares * (width, height)
