"""Which clips a folder holds, and to which split they belong."""

from pathlib import Path

import pytest

from data.loader import group_by_identity
from tests.helpers.clip_files import write_folder, write_strip
from tests.helpers.found_clips import find, names
from tpsm_jax.errors import InputError


def test_train_and_test_folders(tmp_path: Path) -> None:
    for name in ("train/b", "train/a", "train/c.mp4", "test/d"):
        write_folder(tmp_path / name, 0, 1)
    assert names(find(tmp_path)) == ["a", "b", "c.mp4"]
    assert names(find(tmp_path, "test")) == ["d"]


def test_every_kind_of_clip_is_found_and_nothing_else(tmp_path: Path) -> None:
    kinds = ("a.mp4", "b.GIF", "c.mov", "d.avi", "e.mkv", "f.webm", "g.m4v", "h.png", "i.JPG")
    for name in (*kinds, ".DS_Store", "._a.mp4", "README.md", "boxes.csv"):
        (tmp_path / "train").mkdir(exist_ok=True)
        (tmp_path / "train" / name).write_bytes(b"?")
    write_folder(tmp_path / "train" / "folder #1 ü.mp4", 0, 1)
    write_folder(tmp_path / "train" / ".hidden", 0, 1)
    (tmp_path / "train" / "link").symlink_to(tmp_path / "train" / "folder #1 ü.mp4")
    write_folder(tmp_path / "test" / "x", 0, 1)
    assert names(find(tmp_path)) == sorted((*kinds, "folder #1 ü.mp4", "link"))


def test_without_train_and_test_one_clip_in_five_is_kept_for_testing(tmp_path: Path) -> None:
    everything = [f"clip{number:02d}" for number in range(11)]
    for name in everything:
        write_folder(tmp_path / name, 0, 1)
    train, test = names(find(tmp_path)), names(find(tmp_path, "test"))
    assert len(test) == 3  # a fifth, rounded up
    assert sorted(train + test) == everything
    assert train == sorted(train)
    assert test == ["clip00", "clip04", "clip07"]  # on every machine, for ever


def test_identities_are_whole_names(tmp_path: Path) -> None:
    for name in ("id1#a", "id10#a.mp4", "id1#b#c", "id2"):
        write_folder(tmp_path / "train" / name, 0, 1)
    write_strip(tmp_path / "train" / "id2.v.png", 0, 1)
    write_strip(tmp_path / "train" / "id2.png", 0, 1)
    write_folder(tmp_path / "test" / "x", 0, 1)
    groups = [names(group) for group in group_by_identity(find(tmp_path))]
    assert groups == [["id1#a", "id1#b#c"], ["id10#a.mp4"], ["id2", "id2.png"], ["id2.v.png"]]


def test_a_missing_root_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder of clips '.*nowhere'"):
        find(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["a", "a.mp4", "a.png", "README.md"])
@pytest.mark.parametrize("target", ["nothing", "loop"])
def test_a_link_that_leads_nowhere_is_reported(tmp_path: Path, name: str, target: str) -> None:
    write_folder(tmp_path / "train" / "b", 0, 1)
    write_folder(tmp_path / "test" / "b", 0, 1)
    link = tmp_path / "train" / name
    link.symlink_to(name if target == "loop" else "nothing")
    with pytest.raises(InputError, match=f"train/{name} is a link that leads nowhere: mend it"):
        find(tmp_path)
    link.rename(link.with_name(f".{name}"))
    assert names(find(tmp_path)) == ["b"]


def test_a_folder_that_links_to_the_one_around_it_is_reported(tmp_path: Path) -> None:
    write_folder(tmp_path / "train" / "a", 0, 1)
    write_folder(tmp_path / "test" / "b", 0, 1)
    (tmp_path / "train" / "round").symlink_to("..")
    with pytest.raises(InputError, match="round is a folder without a picture"):
        find(tmp_path)


@pytest.mark.parametrize(("there", "missing"), [("train", "test"), ("test", "train")])
def test_half_a_split_is_reported(tmp_path: Path, there: str, missing: str) -> None:
    write_folder(tmp_path / there / "a", 0, 1)
    with pytest.raises(InputError, match=f"has {there}/ but no {missing}/"):
        find(tmp_path)


def test_an_evaluation_needs_test_alone(tmp_path: Path) -> None:
    write_folder(tmp_path / "test" / "a", 0, 1)
    assert names(find(tmp_path, "test")) == ["a"]
    (tmp_path / "test").rename(tmp_path / "train")
    with pytest.raises(InputError, match="has train/ but no test/"):
        find(tmp_path, "test")


@pytest.mark.parametrize(("empty", "other"), [("test", "train"), ("train", "test")])
def test_an_empty_split_is_reported(tmp_path: Path, empty: str, other: str) -> None:
    write_folder(tmp_path / other / "a", 0, 1)
    (tmp_path / empty).mkdir()
    (tmp_path / empty / ".DS_Store").touch()
    with pytest.raises(InputError, match=f"{empty} holds no clip"):
        find(tmp_path, empty)
    assert names(find(tmp_path, other)) == ["a"]


def test_a_folder_without_pictures_is_reported(tmp_path: Path) -> None:
    write_folder(tmp_path / "train" / "a", 0, 1)
    (tmp_path / "train" / "empty").mkdir()
    (tmp_path / "train" / "empty" / ".DS_Store").touch()
    (tmp_path / "test").mkdir()
    with pytest.raises(InputError, match="empty is a folder without a picture"):
        find(tmp_path)


def test_one_clip_cannot_be_split(tmp_path: Path) -> None:
    write_folder(tmp_path / "a", 0, 1)
    with pytest.raises(InputError, match="holds one clip"):
        find(tmp_path)


def test_an_unknown_split_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'train' or 'test', not 'val'"):
        find(tmp_path, "val")
