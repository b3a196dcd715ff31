"""A clip that cannot be read is reported in one line that names it."""

from pathlib import Path

import pytest

from tests.helpers.clip_files import SIZE, label, write_folder, write_strip, write_video
from tests.helpers.found_clips import JUST_BELOW_ONE, labels, only
from tpsm_jax.errors import InputError


@pytest.mark.parametrize("frame_shape", [(SIZE, 20, 3), (2 * SIZE, SIZE, 3)])
def test_frames_side_by_side_that_do_not_fit_are_reported(
    tmp_path: Path, frame_shape: tuple
) -> None:
    write_strip(tmp_path / "train" / "a.png", 0, 6)
    clip = only(tmp_path, frame_shape=frame_shape)
    with pytest.raises(
        InputError, match=r"a\.png, 96 x 16 pixels, is not made of frames"
    ) as raised:
        clip.pair(0.0, 0.5)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"not a picture", b""])
@pytest.mark.parametrize("name", ["a/0000.png", "a.mp4", "a.gif", "a.png"])
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / "train" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    clip = only(tmp_path)
    for read in (lambda: clip.pair(0.0, 0.5), lambda: list(clip.frames())):
        with pytest.raises(InputError, match=r"train/a") as raised:
            read()
        assert "\n" not in str(raised.value)


def test_of_a_gif_that_breaks_off_the_part_before_counts(tmp_path: Path) -> None:
    path = tmp_path / "train" / "a.gif"
    write_video(path, 1, 6)
    path.write_bytes(path.read_bytes()[:-200])
    clip = only(tmp_path)
    assert 1 <= label(clip.pair(0.0, JUST_BELOW_ONE)[1])[1] < 5
    with pytest.raises(InputError, match=r"cannot read frame \d of .*train/a\.gif"):
        labels(clip)


@pytest.mark.parametrize("part", ["end", "picture"])
def test_a_half_written_picture_is_named(tmp_path: Path, part: str) -> None:
    write_folder(tmp_path / "train" / "a", 1, 3, size=64)
    path = tmp_path / "train" / "a" / "0002.png"
    if part == "end":
        path.write_bytes(path.read_bytes()[:60])
    else:
        path.unlink()
        path.symlink_to("nothing")
    with pytest.raises(InputError, match=r"picture .*train/a/0002\.png") as raised:
        only(tmp_path).pair(0.0, JUST_BELOW_ONE)
    assert "\n" not in str(raised.value)


def test_a_half_written_video_is_named(tmp_path: Path) -> None:
    """Without the table that an encoder writes last, nothing of it can be read."""
    path = tmp_path / "train" / "a.mp4"
    write_video(path, 1, 6)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"train/a\.mp4 is no video that PyAV can read") as raised:
        only(tmp_path).pair(0.0, 0.5)
    assert "\n" not in str(raised.value)


def test_a_folder_that_goes_away_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path / "train" / "a", 1, 2)
    clip = only(tmp_path)
    (tmp_path / "train" / "a").rename(tmp_path / "a")
    with pytest.raises(InputError, match="cannot read the clip .*train/a: No such file"):
        clip.pair(0.0, 0.5)
