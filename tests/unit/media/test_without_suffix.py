"""A clip's name without the suffixes of its file."""

import pytest

from tpsm_jax.media.video_reader import without_suffix


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.1.mp4.png", "a.1"),
        ("a.MP4", "a"),
        ("a.txt", "a.txt"),
        ("a", "a"),
        (".png", ".png"),
        ("a.", "a."),
        ("", ""),
        ("id1#a" + ".mp4" * 100_000, "id1#a"),
    ],
)
def test_known_suffixes_go_however_many(name: str, expected: str) -> None:
    assert without_suffix(name) == expected


def test_more_suffixes() -> None:
    assert without_suffix("a.npy.mp4", {".npy"}) == "a"
