"""The operations that ops.py times, at vox256's sizes. Workers import this too: NumPy alone."""

from typing import NamedTuple

import numpy as np

TPS, POINTS = 10, 5
SPLINE_GRIDS = (64, 256)


class Case(NamedTuple):
    """An operation at one size.

    Attributes:
      kind: the operation's name; both codes have a function for each.
      side: the picture's side in pixels.
      channels: channels in.
      features: channels out, for convolutions.
      detail: what else the kind needs: a scale, the mode of the normalization.
      gradient: "" for the operation alone; otherwise it is also differentiated with respect to
        "all", its "picture" or its "grid".
    """

    kind: str
    side: int
    channels: int
    features: int = 0
    detail: str = ""
    gradient: str = ""

    @property
    def name(self) -> str:
        """The name of the table's row."""
        words = [self.kind, self.detail, f"{self.side}x{self.side}x{self.channels}"]
        if self.features:
            words.append(f"-> {self.features}")
        if self.gradient:
            of = "" if self.gradient == "all" else f" of {self.gradient}"
            words.append(f"+ gradient{of}")
        return " ".join(filter(None, words))


def _both_ways(*cases: Case) -> list[Case]:
    """Returns each case alone, then each with its gradient."""
    return [*cases, *(case._replace(gradient="all") for case in cases)]


_MAPS = ((256, 64), (128, 128), (64, 256), (32, 512))  # the inpainting network's encoder

CASES = [
    *(Case("grid sample", *size) for size in _MAPS),
    *(
        Case("grid sample", *size, gradient=of)
        for of in ("picture", "grid", "all")
        for size in (_MAPS[0], _MAPS[-1])
    ),
    *_both_ways(Case("11 warps of the source", 64, 3)),
    *_both_ways(*(Case("10 splines, fit and grid", side, 2) for side in SPLINE_GRIDS)),
    Case("random spline, mirrored warp", 256, 3),
    *(Case("anti-alias", 256, 3, detail=scale) for scale in ("0.5", "0.25", "0.125")),
    Case("anti-alias", 256, 3, detail="0.5", gradient="all"),
    *_both_ways(Case("softmax, weighted grids", 64, 11)),
    Case("batch norm, relu", 128, 64, detail="inference"),
    Case("batch norm, relu", 128, 64, detail="training"),
    Case("batch norm, relu", 128, 64, detail="training", gradient="all"),
    *_both_ways(*(Case("instance norm, relu", *size) for size in _MAPS)),
    *_both_ways(
        Case("nearest x2, 3x3 conv", 32, 512, 256),
        Case("nearest x2, 3x3 conv", 64, 512, 128),
        Case("nearest x2, 3x3 conv", 128, 256, 64),
    ),
    *_both_ways(
        Case("3x3 conv", 32, 512, 512),
        Case("3x3 conv", 64, 512, 512),
        Case("3x3 conv", 128, 256, 256),
        Case("3x3 conv", 256, 64, 64),
    ),
    *_both_ways(
        Case("7x7 conv", 256, 3, 64),
        Case("7x7 conv", 256, 64, 3),
        Case("7x7 conv", 64, 148, 11),
    ),
]


def flow(side: int) -> np.ndarray:
    """A smooth flow, [side, side, 2] float32, that partly points outside the picture."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    moved = [x + 0.1 * np.sin(3 * y + 1), y + 0.1 * np.cos(4 * x)]
    return np.stack(moved, axis=-1).astype(np.float32)


def noise(seed: int, *shape: int) -> np.ndarray:
    """Standard normal noise, float32."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def keypoints(seed: int) -> np.ndarray:
    """Random keypoints, [TPS, POINTS, 2] float32, (x, y) in [-1, 1]."""
    return np.random.default_rng(seed).uniform(-0.8, 0.8, (TPS, POINTS, 2)).astype(np.float32)
