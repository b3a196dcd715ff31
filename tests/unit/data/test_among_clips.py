"""Nothing is written where the next listing would count it as a clip."""

from pathlib import Path

import pytest

from data.roots import refuse_among_clips
from tests.helpers.prepare_files import prepare, write_noise_set
from tpsm_jax.errors import InputError


def refuses(place: Path, root: Path) -> bool:
    words = ""
    try:
        refuse_among_clips(place, "--output", root, "--data")
    except InputError as error:
        words = str(error)
    assert words == "" or words.startswith(f"--output {place} is within --data {root}")
    assert "\n" not in words
    return bool(words)


@pytest.fixture
def split(tmp_path: Path) -> Path:
    for name in ("train", "test"):
        (tmp_path / "set" / name).mkdir(parents=True)
    return tmp_path / "set"


def test_of_a_split_data_set_only_the_splits_hold_clips(split: Path) -> None:
    assert refuses(split / "train" / "run", split)
    assert refuses(split / "test", split)
    assert not refuses(split / "runs" / "a", split)
    assert not refuses(split.parent / "run", split)


def test_a_split_that_is_missing_is_closed_too(split: Path) -> None:
    (split / "train").rmdir()
    assert refuses(split / "train", split)


def test_of_any_other_folder_all_entries_are_clips(tmp_path: Path) -> None:
    assert refuses(tmp_path / "clips" / "run", tmp_path / "clips")  # whether it is there or not
    (tmp_path / "clips").mkdir()
    assert refuses(tmp_path / "clips" / "run", tmp_path / "clips")
    assert refuses(tmp_path / "clips", tmp_path / "clips")
    assert not refuses(tmp_path / "clips2", tmp_path / "clips")


def test_links_are_resolved(split: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(split / "test")
    assert refuses(tmp_path / "link" / "run", split)


def test_a_link_in_a_circle_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    assert not refuses(tmp_path / "run", tmp_path / "circle")


def test_a_prepared_data_set_lists_its_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_noise_set(tmp_path / "raw", train=1, test=1)
    assert prepare(monkeypatch, tmp_path / "raw", tmp_path / "made", "--size", "16") == 0
    assert not refuses(tmp_path / "made" / "run", tmp_path / "made")
