"""Writes tests/golden/resize.npz: what skimage.transform.resize makes of small pictures.

Run once where scikit-image is installed (the project does not need it):
  python -m tests.golden.make_resize
"""

import numpy as np
from skimage.transform import resize

from tests.helpers.paths import GOLDEN

# (height, width) in and out: up, down, mixed, an axis kept, both kept, far down, from one pixel.
SIZES = {
    "up": ((9, 7), (16, 24)),
    "down": ((41, 37), (16, 12)),
    "slightly_down": ((29, 31), (24, 24)),
    "mixed": ((11, 40), (16, 16)),
    "one_axis": ((16, 33), (16, 16)),
    "equal": ((8, 8), (8, 8)),
    "far_down": ((90, 64), (4, 4)),
    "thin": ((1, 50), (4, 16)),
}


def main() -> None:
    rng = np.random.default_rng(0)
    arrays = {}
    for name, (size_in, size_out) in SIZES.items():
        image = rng.integers(0, 256, (*size_in, 3), np.uint8)
        arrays[f"{name}_in"] = image
        arrays[f"{name}_out"] = resize(image, size_out).astype(np.float32)
    floats = rng.random((19, 23, 3), np.float32)
    arrays["floats_in"] = floats
    arrays["floats_out"] = resize(floats, (12, 32)).astype(np.float32)
    np.savez_compressed(GOLDEN / "resize.npz", **arrays)


if __name__ == "__main__":
    main()
