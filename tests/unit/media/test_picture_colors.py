"""Pictures arrive as sRGB by their profile, and on a background where they are transparent."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.helpers.icc_profiles import (
    ADOBE_RGB,
    DISPLAY_P3,
    RED_AND_BLUE_EXCHANGED,
    SRGB,
    SRGB_CURVE,
    cmyk_profile,
    gray_profile,
    rgb_profile,
)
from tpsm_jax.media.images import read_image
from tpsm_jax.media.rgb import rgb_array

RGB = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
GRAY = RGB[:, :, 0]
ALPHA = RGB[:, :, 1]
EXCHANGED = rgb_profile(RED_AND_BLUE_EXCHANGED, SRGB_CURVE)
FORMATS = ("png", "jpg", "tif", "webp", "avif")


def written(folder, image, name="picture.png", *, profile=None, background=None, **options):
    image.save(folder / name, icc_profile=profile, **options)
    return read_image(folder / name, alpha_background=background)


def as_srgb(rgb, colorants, curve):
    """Colors as sRGB [0, 1] by the definitions of the color spaces, cut off where sRGB ends."""
    linear = curve(rgb / 255) @ np.array(colorants) @ np.linalg.inv(SRGB)
    low, high = linear * 12.92, 1.055 * np.clip(linear, 1e-9, 1) ** (1 / 2.4) - 0.055
    return np.clip(np.where(linear <= 0.0031308, low, high), 0, 1)


def srgb_to_linear(values):
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_profile_that_exchanges_red_and_blue(tmp_path, suffix):
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    read = written(tmp_path, Image.fromarray(flat), f"a.{suffix}", profile=EXCHANGED, quality=100)
    assert np.abs(read.astype(int) - flat[:, :, ::-1]).max() <= 2


@pytest.mark.parametrize(
    ("colorants", "curve", "linear"),
    [
        (ADOBE_RGB, 2.19921875, lambda values: values**2.19921875),
        (DISPLAY_P3, SRGB_CURVE, srgb_to_linear),
    ],
)
def test_adobe_rgb_and_display_p3(tmp_path, colorants, curve, linear):
    # Muted colors are in every space; where sRGB ends, lcms and the formula cut off differently.
    muted = (RGB // 2 + 64).astype(np.uint8)
    read = written(tmp_path, Image.fromarray(muted), profile=rgb_profile(colorants, curve))
    expected = 255 * as_srgb(muted, colorants, linear)
    assert np.abs(read - expected).max() <= 1.5
    assert np.abs(read.astype(int) - muted).max() > 10


@pytest.mark.parametrize("profile", ["Pillow's", "published"])
def test_a_profile_of_srgb_keeps_the_bits(tmp_path, profile):
    made = {
        "Pillow's": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        "published": rgb_profile(SRGB, SRGB_CURVE),
    }[profile]
    np.testing.assert_array_equal(written(tmp_path, Image.fromarray(RGB), profile=made), RGB)
    gray = written(tmp_path, Image.fromarray(GRAY), profile=gray_profile(SRGB_CURVE))
    np.testing.assert_array_equal(gray, np.repeat(GRAY[:, :, None], 3, axis=2))


@pytest.mark.parametrize("mode", ["L", "LA", "1", "I;16", "F", "tRNS"])
def test_grays_by_a_profile_of_grays(tmp_path, mode):
    profile = gray_profile(1.8)
    if mode == "LA":
        image = Image.fromarray(np.dstack([GRAY, ALPHA]), "LA")
    elif mode == "I;16":
        image = Image.fromarray(GRAY.astype(np.uint16) * 257)
    elif mode == "F":
        image = Image.fromarray(GRAY.astype(np.float32))
    else:
        image = Image.fromarray(GRAY > 127) if mode == "1" else Image.fromarray(GRAY)
    name, options = ("a.tif" if mode == "F" else "a.png"), {}
    if mode == "tRNS":
        options = {"transparency": 3}
    read = written(tmp_path, image, name, profile=profile, **options)
    values = np.where(GRAY > 127, 1.0, 0.0) if mode == "1" else (GRAY / 255) ** 1.8
    high = 1.055 * values ** (1 / 2.4) - 0.055
    expected = 255 * np.where(values <= 0.0031308, 12.92 * values, high)
    assert np.abs(read - expected[:, :, None]).max() <= 1.5


def test_palettes_by_their_profile(tmp_path):
    image = Image.fromarray(np.full((4, 4), 1, np.uint8), "P")
    image.putpalette([0, 0, 0, 200, 100, 50])
    for options in ({}, {"transparency": 0}):
        read = written(tmp_path, image, profile=EXCHANGED, **options)
        assert np.abs(read.astype(int) - (50, 100, 200)).max() <= 1


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk_by_its_profile(tmp_path, suffix):
    inks = np.zeros((16, 32, 4), np.uint8)
    inks[:, 16:] = (255, 0, 0, 255)  # half of all ink: L* of 50, which is 119 in sRGB
    image = Image.fromarray(inks, "CMYK")
    read = written(tmp_path, image, f"a.{suffix}", profile=cmyk_profile(), quality=100)
    assert np.abs(read[:, :12].astype(int) - 255).max() <= 3
    assert np.abs(read[:, 20:].astype(int) - 119).max() <= 3


@pytest.mark.parametrize(
    "profile",
    [
        b"no profile",
        EXCHANGED[:200],
        EXCHANGED[:128],
        b"\0" * 500,
        cmyk_profile(),
        gray_profile(1.0),
    ],
)
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_profile_that_is_broken_or_of_other_colors_is_ignored(tmp_path, profile, suffix):
    image = Image.fromarray(RGB)
    plain = written(tmp_path, image, f"plain.{suffix}")
    np.testing.assert_array_equal(written(tmp_path, image, f"a.{suffix}", profile=profile), plain)


def test_damaged_profiles_never_stop_a_picture():
    rng, profile = np.random.default_rng(0), bytearray(EXCHANGED)
    for _ in range(50):
        damaged = bytearray(profile)
        for place in rng.integers(0, 400, 3):
            damaged[place] = rng.integers(0, 256)
        image = Image.fromarray(RGB)
        image.info["icc_profile"] = bytes(damaged)
        assert rgb_array(image).shape == RGB.shape


def test_frames_of_animations_have_their_profile(tmp_path):
    frames = [Image.new("RGB", (8, 8), (200, 100, level)) for level in (50, 60)]
    frames[0].save(
        tmp_path / "a.webp", save_all=True, append_images=frames[1:], icc_profile=EXCHANGED,
        lossless=True,
    )  # fmt: skip
    with Image.open(tmp_path / "a.webp") as image:
        image.seek(1)
        assert np.abs(rgb_array(image)[0, 0].astype(int) - (60, 100, 200)).max() <= 1


@pytest.mark.parametrize("background", [(255, 255, 255), (0, 177, 64)])
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp", "a.avif"])
def test_what_is_transparent_shows_the_background(tmp_path, name, background):
    alpha = np.zeros((12, 16), np.uint8)
    alpha[:, 8:] = 255
    image = Image.fromarray(np.dstack([RGB, alpha]))
    options = {"lossless": True} if name == "a.webp" else {}
    options |= {"quality": 100, "subsampling": "4:4:4"} if name == "a.avif" else {}
    read = written(tmp_path, image, name, background=background, **options)
    tolerance = 4 if name == "a.avif" else 0
    assert np.abs(read[:, :7].astype(int) - background).max() <= tolerance
    if name != "a.avif":
        np.testing.assert_array_equal(read[:, 8:], RGB[:, 8:])


def test_what_is_half_transparent_is_blended(tmp_path):
    rgba = Image.fromarray(np.dstack([RGB, ALPHA]))
    weight = ALPHA[:, :, None] / 255
    expected = RGB * weight + np.array((10, 200, 90)) * (1 - weight)
    read = written(tmp_path, rgba, background=(10, 200, 90))
    assert np.abs(read - expected).max() <= 0.501
    # By default what lies under it stays, as in the reference.
    np.testing.assert_array_equal(written(tmp_path, rgba), RGB)


def test_gray_and_palettes_with_transparency_show_the_background(tmp_path):
    white = (255, 255, 255)
    gray = Image.fromarray(np.dstack([GRAY, np.zeros_like(GRAY)]), "LA")
    assert written(tmp_path, gray, background=white).min() == 255
    palette = Image.fromarray(np.zeros((4, 4), np.uint8), "P")
    palette.putpalette([9, 9, 9])
    assert written(tmp_path, palette, background=white, transparency=0).min() == 255
    keyed = Image.new("RGB", (4, 4), (1, 2, 3))
    assert written(tmp_path, keyed, background=white, transparency=(1, 2, 3)).min() == 255


def test_a_profile_is_for_the_colors_and_not_the_background(tmp_path):
    pixels = np.full((4, 4, 4), (200, 100, 50, 255), np.uint8)
    pixels[:, 2:, 3] = 0
    image = Image.fromarray(pixels)
    read = written(tmp_path, image, profile=EXCHANGED, background=(240, 0, 7)).astype(int)
    assert np.abs(read[:, :2] - (50, 100, 200)).max() <= 1
    np.testing.assert_array_equal(read[0, 3], (240, 0, 7))


def test_every_orientation_of_a_picture_of_several_tiles(tmp_path, monkeypatch):
    monkeypatch.setattr("tpsm_jax.media.rgb._TILE", 5)
    image = Image.fromarray(RGB)
    exif = Image.Exif()
    for orientation, way in (
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.swapaxes(0, 1)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a[::-1, ::-1].swapaxes(0, 1)),
        (8, lambda a: np.rot90(a, 1)),
        (99, lambda a: a),
    ):
        exif[0x0112] = orientation
        file = io.BytesIO()
        image.save(file, "PNG", exif=exif)
        with Image.open(file) as stored:
            np.testing.assert_array_equal(rgb_array(stored, upright=True), way(RGB))
