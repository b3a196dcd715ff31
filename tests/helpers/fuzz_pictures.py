"""Mutated pictures of every format that is read; see `tests.helpers.fuzzing`.

python -m tests.helpers.fuzz_pictures FIRST LAST
"""

import functools
import io
import random
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from data.clips import VideoClip
from tests.helpers.fuzzing import mutated, naming, run
from tests.helpers.small import pictures
from tpsm_jax.media.images import read_header, read_image, read_wide_picture
from tpsm_jax.media.video_reader import open_video

# Pillow refuses more than 179 million pixels, which take 4 bytes each in Pillow and 3 here.
MEGABYTES = 1400
# Of large pictures and damaged tags Pillow warns; nobody sees that.
warnings.simplefilter("error")


@functools.cache
def _made() -> dict[str, bytes]:
    """Suffix -> a file; several ways to write one format have names before it."""
    frames = [Image.fromarray((255 * each).astype(np.uint8)) for each in pictures(3, 24, 40)]
    first = frames[0]
    exif = Image.Exif()
    exif[0x0112] = 6  # turned
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    alpha = first.copy()
    alpha.putalpha(frames[1].convert("L"))
    wide = Image.fromarray(np.zeros((24, 40), np.uint16) + 30000)
    several = {"save_all": True, "append_images": frames[1:], "duration": 40}
    given = {
        "rgb.png": (first, {"icc_profile": profile}),
        "alpha.png": (alpha, {}),
        "palette.png": (first.quantize(16), {"transparency": 0}),
        "gray16.png": (wide, {}),
        "bit.png": (first.convert("1"), {}),
        "animated.png": (first, {**several, "default_image": True}),
        "turned.jpg": (first, {"exif": exif, "icc_profile": profile}),
        "cmyk.jpg": (first.convert("CMYK"), {}),
        "progressive.jpg": (first, {"progressive": True}),
        "animated.gif": (first, several),
        "lossy.webp": (first, {"exif": exif}),
        "animated.webp": (first, {**several, "lossless": True}),
        "one.avif": (first, {}),
        "animated.avif": (first, several),
        "packed.tif": (alpha, {"compression": "tiff_lzw"}),
        "float.tif": (wide.convert("F"), {}),
        "a.bmp": (first, {}),
        "a.ppm": (first, {}),
        "a.jp2": (first, {}),
        "a.tga": (alpha, {"compression": "tga_rle"}),
    }
    files = {}
    for name, (picture, options) in given.items():
        file = io.BytesIO()
        kind = Image.registered_extensions()[Path(name).suffix]
        picture.save(file, kind, **options)
        files[name] = file.getvalue()
    return files


def case(rng: random.Random, folder: Path) -> Callable[[], object]:
    """A picture, its name as often another format's, and a way in which commands read it."""
    name = rng.choice(sorted(_made()))
    path = folder / rng.choice([name, rng.choice(sorted(_made()))])
    path.write_bytes(mutated(rng, _made()[name], [_made()[rng.choice(sorted(_made()))]]))
    position = rng.random(), rng.random()
    ways: list[Callable[[], object]] = [
        lambda: read_image(path),
        lambda: read_image(path, alpha_background=(255, 255, 255)),
        lambda: (read_header(path), read_wide_picture(path)),
        lambda: [len(frame) for frame in open_video(path)],
        lambda: [len(frame) for frame in open_video(path, whole=True)],
        lambda: VideoClip(path).pair(*position),
    ]
    return naming(path, rng.choice(ways))


if __name__ == "__main__":
    run(case, MEGABYTES)
