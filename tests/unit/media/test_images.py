"""Every kind of picture arrives as the same 8-bit RGB, and resizing equals scikit-image's."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from data.clips import VideoClip
from tests.helpers.paths import GOLDEN
from tpsm_jax.errors import InputError
from tpsm_jax.media import picture_opening
from tpsm_jax.media.images import (
    read_alpha,
    read_header,
    read_image,
    read_wide_picture,
    resize,
    resize_matrix,
    to_float,
    to_uint8,
)
from tpsm_jax.media.video_reader import open_video

ARRAYS = dict(np.load(GOLDEN / "resize.npz"))
Y, X = np.mgrid[0:12, 0:16]
RGB = np.stack([X * 15, Y * 20, 255 - X * 10], axis=-1).astype(np.uint8)
GRAY = (X * 16).astype(np.uint8)
GRAY_RGB = np.repeat(GRAY[:, :, None], 3, axis=2)
ALPHA = ((X + Y) % 2 * 255).astype(np.uint8)


def written(folder, image, name="picture.png", **options):
    path = folder / name
    image.save(path, **options)
    return read_image(path)


def test_color_with_and_without_alpha(tmp_path):
    rgba = Image.fromarray(np.dstack([RGB, ALPHA]))
    for image, name in ((Image.fromarray(RGB), "a.bmp"), (rgba, "a.png"), (rgba, "a.tif")):
        read = written(tmp_path, image, name)
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read, RGB)


def test_gray_with_and_without_alpha(tmp_path):
    for image in (Image.fromarray(GRAY), Image.fromarray(np.dstack([GRAY, ALPHA]), "LA")):
        np.testing.assert_array_equal(written(tmp_path, image), GRAY_RGB)


@pytest.mark.parametrize("transparency", [None, 3, bytes(range(16))])
def test_palettes(tmp_path, transparency):
    palette = RGB[0, :16]
    image = Image.fromarray((X % 16).astype(np.uint8), "P")
    image.putpalette(palette.tobytes())
    options = {} if transparency is None else {"transparency": transparency}
    np.testing.assert_array_equal(written(tmp_path, image, **options), palette[X % 16])


def test_16_bits_are_scaled_not_clipped(tmp_path):
    wide = (X * 4369 + Y).astype(np.uint16)  # 4369 is 65535 / 15
    expected = np.repeat(np.rint(wide / 257).astype(np.uint8)[:, :, None], 3, axis=2)
    assert expected.max() == 255
    for name in ("a.png", "a.tif", "a.pgm"):
        np.testing.assert_array_equal(written(tmp_path, Image.fromarray(wide), name), expected)


def test_floats_and_single_bits(tmp_path):
    floats = written(tmp_path, Image.fromarray((X / 15).astype(np.float32)), "a.tif")
    np.testing.assert_array_equal(floats[0, :, 0], np.rint(X[0] * 17))
    floats = written(tmp_path, Image.fromarray((X * 17.0).astype(np.float32)), "b.tif")
    np.testing.assert_array_equal(floats[0, :, 1], X[0] * 17)
    bits = written(tmp_path, Image.fromarray(ALPHA > 0))
    np.testing.assert_array_equal(bits, np.repeat(ALPHA[:, :, None], 3, axis=2))


def test_cmyk(tmp_path):
    read = written(tmp_path, Image.fromarray(RGB).convert("CMYK"), "a.tif")
    assert np.abs(read.astype(int) - RGB).max() <= 1


def test_a_rotated_photograph_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    lying = Image.fromarray(np.rot90(RGB))
    np.testing.assert_array_equal(written(tmp_path, lying, exif=exif), RGB)


@pytest.mark.parametrize("content", [b"", b"no picture", None])
def test_what_is_no_picture_is_reported(tmp_path, content):
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:3000] if content is None else content)
    with pytest.raises(InputError, match=r"cannot read the picture .*a\.png"):
        read_image(path)
    with pytest.raises(InputError, match="there is no picture"):
        read_image(tmp_path / "b.png")
    with pytest.raises(InputError, match="cannot read"):
        read_image(tmp_path)


@pytest.mark.parametrize("case", sorted(name[:-3] for name in ARRAYS if name.endswith("_in")))
def test_resizing_equals_scikit_image(case):
    expected = ARRAYS[f"{case}_out"]
    actual = resize(ARRAYS[f"{case}_in"], *expected.shape[:2])
    assert actual.dtype == np.float32
    assert actual.flags.c_contiguous
    np.testing.assert_allclose(actual, expected, atol=5e-7)


def test_a_resize_is_an_average():
    for size_in, size_out in ((5, 128), (1000, 128), (128, 128), (1, 7), (129, 128)):
        matrix = resize_matrix(size_in, size_out).toarray()
        assert matrix.shape == (size_out, size_in)
        np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)
        assert matrix.min() >= 0


def test_wide_pictures_may_be_larger_than_others(tmp_path, monkeypatch):
    strip = np.tile(RGB, (1, 9, 1))
    Image.fromarray(strip).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 12 * 16)
    with pytest.raises(InputError, match="decompression bomb"):
        read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(read_wide_picture(tmp_path / "a.png"), strip)
    monkeypatch.setattr(picture_opening, "WIDE_LARGEST", 1000)
    with pytest.raises(InputError, match="144 x 12 pixels are more than 1000"):
        read_wide_picture(tmp_path / "a.png")
    Image.fromarray(RGB).save(tmp_path / "jpeg.png", "JPEG")
    with pytest.raises(InputError, match=r"there is no picture .*none\.png"):
        read_wide_picture(tmp_path / "none.png")
    monkeypatch.undo()
    assert read_wide_picture(tmp_path / "jpeg.png").shape == RGB.shape


def test_to_uint8_rounds_to_nearest_and_clips() -> None:
    values = np.array([-1.0, 0.0, 0.5, 0.4999 / 255, 0.5001 / 255, 1.0, 7.0, np.nan, np.inf])
    np.testing.assert_array_equal(to_uint8(values), [0, 0, 128, 0, 1, 255, 255, 0, 255])
    ready = np.array([3, 200], np.uint8)
    np.testing.assert_array_equal(to_uint8(ready), ready)


def test_to_float_is_a_division_by_255():
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_float(levels), (np.arange(256) / 255).astype(np.float32))
    np.testing.assert_array_equal(to_uint8(to_float(levels)), levels)
    np.testing.assert_array_equal(to_float(np.array([0.25, 1.0])), np.float32([0.25, 1]))
    assert to_float(np.array([0.25, 1.0])).dtype == np.float32


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


def test_heic_is_named_with_a_way_on(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for name in ("IMG_1.HEIC", "a.jpg"):
        (tmp_path / name).write_bytes(HEIC)
        for read in (read_image, read_wide_picture, read_header, open_video):
            with pytest.raises(InputError, match=rf"{name} is a HEIC .* JPEG \(or pip install pil"):
                read(tmp_path / name)


def test_heic_is_read_where_pillow_heif_is(tmp_path, monkeypatch):
    class Plugin(ImageFile.ImageFile):
        format = "HEIF"

        def _open(self):
            self._size, self._mode = (16, 12), "RGB"
            self.tile = []

        def load(self):
            self.im = Image.fromarray(RGB).im

    def register_heif_opener():
        Image.register_open("HEIF", Plugin, lambda head: head[8:12] == b"heic")

    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    fake = types.SimpleNamespace(register_heif_opener=register_heif_opener)
    monkeypatch.setitem(sys.modules, "pillow_heif", fake)
    (tmp_path / "a.heic").write_bytes(HEIC)
    np.testing.assert_array_equal(read_image(tmp_path / "a.heic"), RGB)
    np.testing.assert_array_equal(list(open_video(tmp_path / "a.heic")), [RGB])
    (tmp_path / "a.mp4").write_bytes(HEIC)
    for frame in VideoClip(tmp_path / "a.mp4").pair(0, 0.9):  # not one of FFmpeg's tiles
        np.testing.assert_array_equal(frame, RGB)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="asks Linux for the peak")
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "I;16"])
def test_a_wide_picture_takes_4_bytes_a_pixel_while_it_is_read(tmp_path, mode):
    Image.new(mode, (50_000, 128)).save(tmp_path / "a.png", compress_level=1)
    read_wide_picture(tmp_path / "a.png")  # whatever is loaded once
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins again
    before = peak_memory()
    result = read_wide_picture(tmp_path / "a.png")
    pixels = result.shape[0] * result.shape[1]
    assert (peak_memory() - before) / pixels < 3 + 4 + 0.7  # and a tile on its way
    assert result.nbytes == 3 * pixels


def peak_memory():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def test_a_header_is_read_without_the_pixels(tmp_path):
    pictures = [Image.fromarray(RGB + np.uint8(step)) for step in range(3)]
    for name, options in (
        ("a.png", {}),
        ("a.webp", {"lossless": True}),
        ("a.avif", {"speed": 10}),
        ("a.gif", {}),
    ):
        pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:], **options)
        assert read_header(tmp_path / name) == (12, 16, True)
        pictures[0].save(tmp_path / name)
        assert read_header(tmp_path / name) == (12, 16, False)
    # Several pictures of a camera, and pages, do not play.
    for name, kind in (("a.jpg", "MPO"), ("a.tif", "TIFF")):
        copies = [picture.copy() for picture in pictures]
        copies[0].save(tmp_path / name, kind, save_all=True, append_images=copies[1:])
        assert read_header(tmp_path / name) == (12, 16, False)
    Image.new("1", (4_000_000, 40)).save(tmp_path / "wide.png")
    assert read_header(tmp_path / "wide.png").width == 4_000_000


def test_damage_that_asks_for_more_memory_than_there_is(tmp_path, monkeypatch):
    Image.fromarray(RGB).save(tmp_path / "a.png")

    def fail(_):
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    for read in (read_image, open_video):
        with pytest.raises(InputError, match=r"cannot read .*a.png: MemoryError\(\)"):
            read(tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_the_alpha_channel_is_upright(tmp_path, mode):
    stored = np.zeros((4, 6), np.uint8)
    stored[:, 2:] = 255
    picture = Image.new("RGBA", (6, 4), (255, 0, 0))
    picture.putalpha(Image.fromarray(stored))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned to the right
    picture.convert(mode).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_alpha(tmp_path / "a.png"), np.rot90(stored, -1))


@pytest.mark.parametrize("mode", ["RGB", "L", "I;16", "1"])
def test_a_picture_without_an_alpha_channel(tmp_path, mode):
    Image.new(mode, (6, 4)).save(tmp_path / "a.png")
    assert read_alpha(tmp_path / "a.png") is None
