"""The inputs of the operations behind tests/golden/ops.npz. NumPy only."""

from typing import NamedTuple

import numpy as np

from tests.helpers.procedural import uniform

GRIDS = {"small": (2, 3), "odd": (5, 7), "square": (64, 64), "wide": (64, 96)}


class SampleCase(NamedTuple):
    """A picture [H, W, C] and positions [h, w, 2]."""

    image: np.ndarray
    grid: np.ndarray


def grid_sample_cases() -> dict[str, SampleCase]:
    """Pictures with awkward axes, each at positions inside, around, exactly at and far outside."""
    shapes = {
        "not_square": (5, 7, 3),
        "even": (8, 8, 2),
        "one_row": (1, 6, 2),
        "one_column": (6, 1, 2),
        "one_pixel": (1, 1, 3),
    }
    cases = {}
    for name, (height, width, channels) in shapes.items():
        image = uniform(f"image/{name}", (height, width, channels), -1, 1)
        cases[f"{name}/around"] = SampleCase(image, uniform(f"grid/{name}", (9, 8, 2), -1.4, 1.4))
        cases[f"{name}/exact"] = SampleCase(image, _exact_positions(height, width))
        cases[f"{name}/outside"] = SampleCase(image, uniform(f"far/{name}", (7, 5, 2), -9, 9))
        cases[f"{name}/far"] = SampleCase(image, uniform(f"far/{name}", (7, 5, 2), -1e3, 1e3))
        cases[f"{name}/extreme"] = SampleCase(image, _extreme_positions())
    return cases


def _exact_positions(height: int, width: int) -> np.ndarray:
    """Pixel centers, the middles between, the borders, and one and two pixels beyond them."""
    x = (np.arange(-4, 2 * width + 4) / max(width - 1, 1) - 1).astype(np.float32)
    y = (np.arange(-4, 2 * height + 4) / max(height - 1, 1) - 1).astype(np.float32)
    return np.stack(np.meshgrid(x, y), axis=-1)


def _extreme_positions() -> np.ndarray:
    values = np.array([0.3, -1, 1e6, -1e6, 1e10, -1e10, 1e20, 3e38, -3e38], np.float32)
    return np.stack(np.meshgrid(values, values), axis=-1)


# Height and width in, height and width out.
RESIZES = {
    "up": ((5, 7), (11, 18)),
    "down": ((13, 16), (6, 5)),
    "mixed": ((5, 7), (9, 3)),
    "double": ((16, 16), (32, 32)),
    "one_row": ((1, 6), (4, 11)),
    "one_column": ((6, 1), (3, 5)),
    "to_one": ((8, 9), (1, 1)),
    "to_one_row": ((3, 5), (1, 9)),
    "large": ((32, 32), (128, 128)),
}
DOWNSAMPLE_SIZES = {"even": (32, 48), "odd": (33, 47), "thin": (9, 31)}
DOWNSAMPLE_SCALES = (0.5, 0.25, 0.125, 1)


def spline_cases() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Control points and targets, [5, 2] each."""
    cross = np.array([[-1, -1], [1, -1], [0, 0], [-1, 1], [1, 1]], np.float32) * np.float32(0.4)
    points = cross + uniform("spline/points", (5, 2), -0.1, 0.1)
    moved = points + uniform("spline/moved", (5, 2), -0.1, 0.1)
    random = uniform("spline/random", (5, 2), -0.9, 0.9)
    pair, near, line = points.copy(), points.copy(), points.copy()
    pair[1] = pair[0]
    near[1] = near[0] + np.float32(1e-4)
    line[:, 1] = line[:, 0] * np.float32(0.5)
    return {
        "spread": (points, moved),
        "unmoved": (points, points),
        "random": (random, moved),
        "coincident_pair": (pair, moved),
        "nearly_coincident": (near, moved),
        "all_coincident": (np.broadcast_to(points[:1], (5, 2)).copy(), moved),
        "on_a_line": (line, moved),
    }


def spline_points() -> np.ndarray:
    """[54 + 5, 2] where splines are evaluated: a grid a little larger than the picture, and the
    control points of the first case exactly."""
    x, y = np.meshgrid(np.linspace(-1.2, 1.2, 9), np.linspace(-1.1, 1.1, 6))
    grid = np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float32)
    return np.concatenate([grid, spline_cases()["spread"][0]])


def random_spline_inputs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Affine [2, 3], weights [25] and points [40, 2] of a random spline with its noise fixed."""
    affine = np.eye(2, 3, dtype=np.float32) + uniform("random/affine", (2, 3), -0.1, 0.1)
    return affine, uniform("random/weights", (25,), -0.01, 0.01), spline_points()[:40]


def heatmap_keypoints() -> np.ndarray:
    """[8, 2]: inside, at a corner, and outside."""
    fixed = np.array([[-1, -1], [1, 0.5], [1.3, -1.2]], np.float32)
    return np.concatenate([uniform("heatmap", (5, 2), -1, 1), fixed])


def output_weights(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The weights of the sum whose gradient is taken: sum(output * weights)."""
    return uniform(f"gradient/{name}", shape, -1, 1)
