"""Which files of a folder drive, in which order, and what is said of the others."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tpsm_jax.errors import InputError
from tpsm_jax.media.picture_folder import PICTURE_SUFFIXES, passed_over
from tpsm_jax.media.video_reader import open_video
from tpsm_jax.media.video_writer import FrameWriter


def level(value: int) -> Image.Image:
    return Image.new("RGB", (16, 16), (value, value, value))


def levels(folder: Path) -> list[int]:
    return [round(frame.mean()) for frame in open_video(folder)]


def test_frames_without_leading_zeros_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in range(1, 51):
        level(number).save(tmp_path / f"{number}.png")
    assert levels(tmp_path) == list(range(1, 51))


def test_our_own_frames_past_9999_of_an_older_version_are_in_order(tmp_path: Path) -> None:
    for number in (9998, 9999, 10000, 10001):
        level(number - 9990).save(tmp_path / f"{number:04d}.png")
    assert levels(tmp_path) == [8, 9, 10, 11]
    with FrameWriter(f"{tmp_path}/", fps=25) as writer:  # which may replace them
        writer.write(np.zeros((8, 8, 3), np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == ["0000.png"]


@pytest.mark.parametrize("suffix", [".jfif", ".avif", ".JPE", ".tga", ".pnm", ".jp2", ".apng"])
def test_pictures_by_less_common_names(tmp_path: Path, suffix: str) -> None:
    kind = {".jfif": "JPEG", ".JPE": "JPEG", ".pnm": "PPM", ".apng": "PNG"}.get(suffix)
    for number in (1, 2):
        level(100 * number).save(tmp_path / f"{number}{suffix}", format=kind)
    assert levels(tmp_path) == pytest.approx([100, 200], abs=2)


def test_a_picture_is_read_by_its_content(tmp_path: Path) -> None:
    level(50).save(tmp_path / "1.jpg", format="PNG")
    level(60).save(tmp_path / "2.png", format="GIF")
    level(70).save(tmp_path / "3.webp", format="BMP")
    assert levels(tmp_path) == [50, 60, 70]


def test_what_is_passed_over_is_counted_by_kind_in_one_line(tmp_path: Path) -> None:
    level(1).save(tmp_path / "1.png")
    assert passed_over(tmp_path) == ""
    for name in ("a.mp4", "b.MP4", "notes.txt", "README", ".DS_Store", ".hidden.png"):
        (tmp_path / name).touch()
    (tmp_path / "older").mkdir()
    (tmp_path / "backups.d").mkdir()
    assert passed_over(tmp_path) == (
        f"{tmp_path}: 2 .mp4, 2 folders, 1 .txt, 1 file without a suffix passed over, which are "
        "no pictures"
    )
    assert levels(tmp_path) == [1]


def test_a_folder_of_other_things_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    with pytest.raises(InputError, match=r"no picture \(png, jpg, .* \(it holds 1 \.mp4\)"):
        open_video(tmp_path)


def test_transparent_frames_on_a_color(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 4), np.uint8)
    noise[:, :, 3] = 0
    Image.fromarray(noise).save(tmp_path / "1.png")
    (frame,) = open_video(tmp_path, alpha_background=(255, 0, 9))
    np.testing.assert_array_equal(frame, np.broadcast_to((255, 0, 9), (8, 8, 3)))
    (frame,) = open_video(tmp_path)
    np.testing.assert_array_equal(frame, noise[:, :, :3])


def test_suffixes_are_in_lower_case_with_a_dot() -> None:
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in PICTURE_SUFFIXES)
