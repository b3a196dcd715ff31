"""Which clips, and pairs of clips, an evaluation is of."""

import os
from pathlib import Path

import pytest

from data.clips import StripClip
from data.evaluation_set import (
    check_names,
    clips_for_test,
    pairs_of_clips,
    random_pairs,
    read_pairs,
    split_note,
)
from data.wide_pictures import WidePictures
from tests.helpers.clip_files import SIZE, label, small_config, write_folder, write_strip
from tpsm_jax.errors import InputError


def config_of(tmp_path: Path, *names: str):
    """A data set whose test clips have these names, one frame each."""
    for number, name in enumerate(names):
        path = tmp_path / "test" / name
        (write_strip if name.endswith(".png") else write_folder)(path, number, 1)
    return small_config(tmp_path)


def pairs_in(config, *pairs: tuple[str, str]) -> list[str]:
    return [clip.name for clip in pairs_of_clips(config, list(pairs))]


def test_each_pair_is_there_once_however_it_is_written(tmp_path):
    config = config_of(tmp_path, "a.1", "b.png")
    pairs = (("a.1", "b"), ("a.1", "b.png"), ("a.1.mp4", "b.mp4"), ("b", "a.1"))
    assert pairs_in(config, *pairs) == ["a.1--b.png", "b.png--a.1"]
    clip, _ = pairs_of_clips(config, list(pairs))
    assert clip.source is not None
    assert [label(next(read()))[0] for read in (clip.source, clip.frames)] == [0, 1]


def test_a_name_of_two_clips_is_refused(tmp_path):
    config = config_of(tmp_path, "a.png", "a.mp4", "b", "b.png")
    with pytest.raises(InputError, match=r"a clip 'a': say whether a\.mp4 or a\.png"):
        pairs_in(config, ("a", "b"))
    assert pairs_in(config, ("a.png", "b")) == ["a.png--b"]


def test_pairs_of_one_name_are_refused(tmp_path):
    config = config_of(tmp_path, "a", "b--c", "a--b", "c")
    with pytest.raises(InputError, match="sources a and a--b are both named a--b--c"):
        pairs_in(config, ("a", "b--c"), ("a--b", "c"))


def test_names_too_long_for_a_file_are_refused(tmp_path):
    config = config_of(tmp_path, "a" * 110, "b" * 130)
    check_names(clips_for_test(config))
    with pytest.raises(InputError, match="has 242 bytes, .* only 237 fit"):
        check_names(pairs_of_clips(config, [("a" * 110, "b" * 130)]))


def test_names_that_no_page_can_show_are_refused(tmp_path):
    config = config_of(tmp_path, os.fsdecode(b"caf\xe9"))
    with pytest.raises(InputError, match=r"'caf\\udce9' is not UTF-8"):
        check_names(clips_for_test(config))


def test_a_table_of_pairs_from_a_spreadsheet(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_bytes("source,driving\r\nä,b\r\n".encode("utf-8-sig"))
    assert read_pairs(path) == [("ä", "b")]
    path.write_text("source;driving\na;b\n")
    with pytest.raises(InputError, match="no column 'source' among theirs: 'source;driving'"):
        read_pairs(path)


@pytest.mark.parametrize("content", [b"", b"\n", b"source,driving\n", b"\xff,\0"])
def test_a_table_without_pairs(tmp_path, content):
    (tmp_path / "pairs.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"pairs\.csv"):
        read_pairs(tmp_path / "pairs.csv")


def test_random_pairs_are_all_there_are_at_most(tmp_path):
    config = config_of(tmp_path, "a#1", "a#2", "b", "c")
    pairs = random_pairs(config, 99, seed=1)
    assert len(set(pairs)) == len(pairs) == 4 * 3 - 2
    assert all(source[0] != driving[0] for source, driving in pairs)


def test_an_empty_list_of_clips_is_not_read_from_disk_again(tmp_path):
    config = config_of(tmp_path, "a", "b")
    assert clips_for_test(config, []) == []
    with pytest.raises(InputError, match="'a', which is not among the 0 test clips"):
        pairs_of_clips(config, [("a", "b")], [])
    with pytest.raises(InputError, match="has fewer than two test clips"):
        random_pairs(config, 1, seed=1, clips=[])


def test_wide_pictures_of_another_height_are_cut_in_the_proportions_of_frame_shape(tmp_path):
    config = config_of(tmp_path, "a")
    config.dataset_params.frame_shape = (2 * SIZE, 4 * SIZE, 3)
    write_strip(tmp_path / "test" / "b.png", 1, 6)
    clip = clips_for_test(config, resize=True)[1]
    assert [picture.shape for picture in clip.frames()] == [(SIZE, SIZE, 3)] * 3
    with pytest.raises(InputError, match=r"b\.png, 96 x 16 pixels, .* 64 x 32: "):
        list(StripClip(tmp_path / "test" / "b.png", WidePictures((32, 64), True)).frames())


def test_a_folder_whose_test_clips_are_chosen_is_reported(tmp_path):
    assert not split_note(tmp_path / "nowhere")
    assert "neither train/ nor test/" in split_note(tmp_path)
    (tmp_path / "test").mkdir()
    assert not split_note(tmp_path)
