"""MediaPipe on a photograph of a person; run by `make test-detector`, in its environment.

The photograph comes with matplotlib, which MediaPipe asks for: a woman in uniform, chest and head.
"""

import matplotlib.cbook
import numpy as np
import pytest
from PIL import Image

from detectors.interface import Detector
from detectors.mediapipe_keypoints import Body, Face


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file, Image.open(file) as image:
        return np.array(image.convert("RGB"))


@pytest.fixture(scope="module", params=[Face, Body])
def detector(request: pytest.FixtureRequest) -> Detector:
    return request.param()


def points(detector: Detector, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    detection = detector.detect(np.ascontiguousarray(picture))
    assert detection is not None
    assert detection.value.shape == (len(detector.keypoints), 2)
    assert detection.found.shape == (len(detector.keypoints),)
    return detection.value, detection.found


def test_points_move_with_the_picture(detector: Detector, portrait: np.ndarray) -> None:
    before, found = points(detector, portrait)
    after, found_after = points(detector, np.pad(portrait, ((20, 0), (60, 0), (0, 0)), "edge"))
    moved = (after - before)[found & found_after]
    shoulders = 360  # pixels from one to the other
    np.testing.assert_allclose(moved.mean(axis=0), (60, 20), atol=0.02 * shoulders)


def test_a_frame_does_not_depend_on_those_before(detector: Detector, portrait: np.ndarray) -> None:
    first, _ = points(detector, portrait)
    detector.detect(np.ascontiguousarray(portrait[:, ::-1]))
    detector.detect(np.zeros_like(portrait))
    again, _ = points(detector, portrait)
    np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize("value", [0, 127, 255])
def test_an_empty_picture_has_nobody(detector: Detector, value: int) -> None:
    assert detector.detect(np.full((256, 256, 3), value, np.uint8)) is None


def test_the_face_is_where_it_is(portrait: np.ndarray) -> None:
    face = Face()
    value, found = points(face, portrait)
    assert len(set(face.keypoints)) == 152
    assert found.all()
    place = dict(zip(face.keypoints, value, strict=True))
    # The outer corners of the eyes, those of the mouth, the chin; read off the picture by eye.
    by_eye = {33: (205, 192), 263: (324, 188), 61: (232, 281), 291: (303, 277), 152: (270, 332)}
    for point, expected in by_eye.items():
        np.testing.assert_allclose(place[f"mesh_{point}"], expected, atol=8)


def test_joints_out_of_the_picture_are_not_found(portrait: np.ndarray) -> None:
    body = Body()
    value, found = points(body, portrait)
    seen = dict(zip(body.keypoints, found, strict=True))
    place = dict(zip(body.keypoints, value, strict=True))
    assert seen["nose"]
    assert seen["left_shoulder"]
    assert seen["right_shoulder"]
    assert not any(seen[joint] for joint in ("left_knee", "right_knee", "left_ankle"))
    # Her right is at the left of the picture.
    assert place["right_shoulder"][0] < place["nose"][0] < place["left_shoulder"][0]
