"""Pictures of the model's steps, on inputs whose colors and places are known."""

from typing import Any

import numpy as np
import pytest

from tpsm_jax.media.images import to_uint8
from tpsm_jax.media.visualize import (
    animation_sheet,
    contribution_maps_to_color,
    draw_keypoints,
    flow_to_color,
    identity_grid,
    spline_colors,
)

LABEL, GAP = 14, 2


def test_spline_colors_are_distinct_and_start_at_red() -> None:
    colors = spline_colors(10).astype(int)
    assert colors[0, 0] == 255
    assert colors[0, 1:].max() < 20
    distances = np.abs(colors[:, None] - colors[None]).sum(-1) + 1000 * np.eye(10, dtype=int)
    assert distances.min() > 60


@pytest.mark.parametrize(
    ("point", "row", "column"),
    [((0, 0), 16, 24), ((-1, -1), 0, 0), ((1, 1), 32, 48), ((-1, 1), 32, 0), ((0.5, -0.5), 8, 36)],
)
def test_keypoints_stand_where_they_say(point: tuple[float, float], row: int, column: int) -> None:
    """33 x 49 pixels: (-1, -1) is the first pixel's middle, (1, 1) the last one's."""
    image = np.zeros((33, 49, 3), np.uint8)
    drawn = draw_keypoints(image, np.array([point]), radius=3)
    np.testing.assert_array_equal(drawn[row, column], spline_colors(1)[0])
    ys, xs = np.nonzero(drawn.max(-1) > 100)
    assert np.hypot(ys - row, xs - column).max() < 3.5
    assert image.max() == 0, "the input was drawn on"


def test_keypoints_of_one_spline_share_a_color() -> None:
    xs = np.linspace(-0.9, 0.9, 10)
    keypoints = np.stack([xs, np.zeros(10)], axis=1)
    drawn = draw_keypoints(np.zeros((21, 201, 3)), keypoints, radius=4)
    at = np.round((xs + 1) / 2 * 200).astype(int)
    np.testing.assert_array_equal(drawn[10, at], np.repeat(spline_colors(2), 5, axis=0))


def test_keypoints_outside_and_not_finite_are_left_out() -> None:
    image = np.full((16, 16, 3), 0.5)
    keypoints = np.array([[1.2, 0.0], [0.0, -3.0], [np.nan, 0.0], [np.inf, 0.0]])
    np.testing.assert_array_equal(draw_keypoints(image, keypoints), to_uint8(image))


def test_identity_grid() -> None:
    grid = identity_grid(3, 5)
    assert grid.shape == (3, 5, 2)
    np.testing.assert_allclose(grid[0, 0], [-1, -1])
    np.testing.assert_allclose(grid[2, 1], [-0.5, 1])


@pytest.mark.parametrize(
    ("vector", "color"),
    [
        ((0, 0), (255, 255, 255)),
        ((1, 0), (255, 0, 0)),  # hue 0
        ((0, 1), (128, 255, 0)),  # 90 degrees
        ((-1, 0), (0, 255, 255)),
        ((0, -1), (128, 0, 255)),
        ((0.5, 0), (255, 128, 128)),
        ((2, 0), (255, 0, 0)),  # longer than the largest: as the largest
    ],
)
def test_flow_colors(vector: tuple[float, float], color: tuple[int, int, int]) -> None:
    flow = np.array(vector, np.float32).reshape(1, 1, 2)
    difference = flow_to_color(flow, largest=1.0)[0, 0].astype(int) - color
    assert np.abs(difference).max() <= 1


def test_flow_scales_to_its_longest_vector_and_still_is_white() -> None:
    flow = np.zeros((2, 2, 2))
    assert flow_to_color(flow).min() == 255
    flow[0, 1] = (0.003, 0)
    np.testing.assert_array_equal(flow_to_color(flow)[0, 1], (255, 0, 0))


def test_contribution_maps_mix_the_colors_of_their_splines() -> None:
    maps = np.zeros((1, 4, 4))
    maps[0, 0, 0] = maps[0, 1, 1] = maps[0, 2, 3] = 1
    maps[0, 3, 1:3] = 0.5
    colors = spline_colors(3).astype(float)
    expected = [np.zeros(3), colors[0], colors[2], (colors[0] + colors[1]) / 2]
    np.testing.assert_allclose(contribution_maps_to_color(maps)[0], expected, atol=1)


def outputs_of(frames: int, splines: int = 2, side: int = 8) -> dict[str, Any]:
    """As MotionModel returns them, each in a color of its own."""
    maps = np.zeros((frames, side, side, splines + 1), np.float32)
    maps[..., 1] = 1
    warps = np.zeros((frames, splines + 1, side, side, 3), np.float32)
    warps[:, 2, ..., 1] = 1
    big = 4 * side
    return {
        "kp_source": np.zeros((1, 5 * splines, 2), np.float32),
        "kp_driving": np.zeros((frames, 5 * splines, 2), np.float32),
        "bg_param": None,
        "deformation": np.broadcast_to(identity_grid(side, side), (frames, side, side, 2)),
        "contribution_maps": maps,
        "occlusion_map": tuple(np.full((frames, n, n, 1), 0.2) for n in (side, big)),
        "deformed_source": warps,
        "deformed": np.full((frames, big, big, 3), (0, 0, 1.0)),
        "prediction": np.full((frames, big, big, 3), (1.0, 1.0, 0)),
    }


def cell(sheet: np.ndarray, row: int, column: int, size: int) -> np.ndarray:
    top, left = LABEL + row * (size + GAP), column * (size + GAP)
    return sheet[top : top + size, left : left + size]


def test_sheet_has_every_step_in_its_place() -> None:
    source = np.full((1, 32, 32, 3), 0.25)
    driving = np.full((3, 32, 32, 3), 0.5)
    driving[2] = 0.75
    sheet = animation_sheet(outputs_of(3), source, driving, size=40)
    # source, driving, 3 warps, 3 shares, shares, flow, 2 masks, deformed, prediction
    assert sheet.shape == (LABEL + 3 * 42 - GAP, 14 * 42 - GAP, 3)
    corner = (2, 2)
    expected = {
        0: (64, 64, 64),
        1: (128, 128, 128),
        2: (0, 0, 0),
        4: (0, 255, 0),
        5: (0, 0, 0),
        6: (255, 255, 255),
        8: tuple(spline_colors(2)[0]),
        9: (255, 255, 255),
        10: (51, 51, 51),
        11: (51, 51, 51),
        12: (0, 0, 255),
        13: (255, 255, 0),
    }
    for column, color in expected.items():
        np.testing.assert_array_equal(cell(sheet, 0, column, 40)[corner], color, str(column))
    np.testing.assert_array_equal(cell(sheet, 2, 1, 40)[corner], (191, 191, 191))
    keypoint = cell(sheet, 1, 0, 40)[18:22, 18:22]
    assert (keypoint != 64).any(), "keypoints are drawn over the source"
    assert sheet[:LABEL].max() > 200, "names stand above"


def test_sheet_leaves_out_what_is_not_there_and_keeps_the_shape() -> None:
    outputs = {"prediction": np.zeros((2, 16, 32, 3))}
    images = np.zeros((2, 16, 32, 3))
    sheet = animation_sheet(outputs, images, images, size=16)
    assert sheet.shape == (LABEL + 2 * 18 - GAP, 3 * 34 - GAP, 3)


def test_flow_of_all_rows_has_one_scale() -> None:
    outputs = outputs_of(2)
    flow = np.zeros((2, 8, 8, 2))
    flow[0], flow[1] = (0.1, 0), (0.2, 0)
    outputs["deformation"] = identity_grid(8, 8) + flow
    images = np.zeros((2, 32, 32, 3))
    sheet = animation_sheet(outputs, images, images, size=32)
    half, full = (cell(sheet, row, 9, 32)[5, 5].astype(int) for row in (0, 1))
    np.testing.assert_allclose(half, (255, 128, 128), atol=1)
    np.testing.assert_allclose(full, (255, 0, 0), atol=1)


def test_a_wrapped_sheet_has_the_same_cells_in_more_rows() -> None:
    images = np.full((2, 32, 32, 3), 0.25)
    outputs = outputs_of(2)
    outputs["prediction"][1] = 0.5
    plain = animation_sheet(outputs, images, images, size=32)
    wrapped = animation_sheet(outputs, images, images, size=32, wrap=9)
    # 14 cells: 9 and 5, each with its own names above.
    assert wrapped.shape == (4 * (LABEL + 34) - GAP, 9 * 34 - GAP, 3)
    for frame in range(2):
        for column in range(14):
            row, place = 2 * frame + column // 9, column % 9
            top, left = row * (LABEL + 34) + LABEL, place * 34
            np.testing.assert_array_equal(
                wrapped[top : top + 32, left : left + 32], cell(plain, frame, column, 32)
            )
