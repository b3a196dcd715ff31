"""`python -m data.prepare` on good input: what it keeps, under which names."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.clips import FolderClip
from data.prepare import open_prepared
from data.prepare.shards import plan_shards
from data.puppets import draw_clip
from tests.helpers.clip_files import frame, label, write_strip, write_video
from tests.helpers.prepare_files import prepare, write_noise_clip
from tests.helpers.prepare_results import PNG, names, report


def test_videos_gifs_strips_and_folders(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.mp4", "b.gif"):
        write_video(raw / "train" / name, 3, 6)
    write_strip(raw / "train" / "c.png", 4, 5)
    output = raw.parent / "made"
    assert prepare(monkeypatch, raw, output) == 0
    video, gif, strip = open_prepared(output, "train")[:3]
    assert [label(picture) for picture in video.frames()] == [(3, index) for index in range(6)]
    assert [label(picture) for picture in gif.frames()] == [(3, index) for index in range(6)]
    assert [label(picture) for picture in strip.frames()] == [(4, index) for index in range(5)]
    assert [clip.frame_rate for clip in (video, gif, strip)] == [10, 10, 0]
    assert report(output) == {"broken": [], "short": []}


def test_gray_palette_and_transparent_frames_become_rgb(
    raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = raw / "train" / "modes"
    folder.mkdir()
    picture = Image.fromarray(frame(1, 2))
    for mode in ("1", "L", "LA", "P", "RGBA"):
        picture.convert(mode).save(folder / f"{mode}.png")
    assert prepare(monkeypatch, raw, raw.parent / "made", *PNG) == 0
    clip = open_prepared(raw.parent / "made", "train")[0]
    for made, raw_frame in zip(clip.frames(), FolderClip(folder).frames(), strict=True):
        np.testing.assert_array_equal(made, raw_frame)


def test_odd_names_links_and_hidden_files(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("id1#a b#c.mp4", "žluťoučký 馬", "100%'\"", "t00.mp4"):
        write_noise_clip(raw / "train" / name, 1)
    linked = write_noise_clip(raw.parent / "elsewhere", 2, 9)
    (raw / "train" / "link").symlink_to(raw.parent / "elsewhere")
    for hidden in ("train/.DS_Store", "train/._t00", "train/t00/.0000.png", "test/.DS_Store"):
        (raw / hidden).write_bytes(b"?")
    output = raw.parent / "made"
    assert prepare(monkeypatch, raw, output, *PNG) == 0
    expected = ["100%'\"", "id1#a b#c.mp4", "link", "t00", "t00.mp4", "t01", "žluťoučký 馬"]
    assert names(output) == expected
    clips = open_prepared(output, "train")
    np.testing.assert_array_equal(list(clips[2].frames()), linked)
    assert len(list(clips[3].frames())) == 3
    assert clips[1].identity == "id1"


def test_one_frame_is_a_clip(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_noise_clip(raw / "train" / "single", 1)
    assert prepare(monkeypatch, raw, raw.parent / "made") == 0
    assert names(raw.parent / "made") == ["single", "t00", "t01"]


def test_clips_keep_their_own_size_or_take_the_given_one(
    raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_noise_clip(raw / "train" / "large", 2, size=24)
    assert prepare(monkeypatch, raw, raw.parent / "own") == 0
    assert prepare(monkeypatch, raw, raw.parent / "given", "--size", "20") == 0
    sizes = [
        {
            picture.shape
            for clip in open_prepared(raw.parent / name, "train")
            for picture in clip.frames()
        }
        for name in ("own", "given")
    ]
    assert sizes == [{(24, 24, 3), (16, 16, 3)}, {(20, 20, 3)}]


def test_without_train_and_test_the_split_is_that_of_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(11):
        write_noise_clip(tmp_path / "raw" / f"clip{number:02d}", 1, number)
    assert prepare(monkeypatch, tmp_path / "raw", tmp_path / "made") == 0
    assert names(tmp_path / "made", "test") == ["clip00", "clip04", "clip07"]


def test_puppets_are_those_that_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ("--dataset", "puppets", "--clips", "2", "--frames", "3", "--size", "32", *PNG)
    assert prepare(monkeypatch, None, tmp_path / "made", *flags) == 0
    clip = open_prepared(tmp_path / "made", "train")[1]
    assert (clip.name, clip.frame_rate) == ("0000000#0000001", 25)
    expected = draw_clip(identity=0, motion=1, num_frames=3, size=32)
    np.testing.assert_array_equal(list(clip.frames()), expected)


def test_shards_depend_on_names_alone(tmp_path: Path) -> None:
    clips = [FolderClip(tmp_path / f"clip{number:04d}") for number in range(1100)]
    shards = plan_shards(tmp_path, "clips", "train", clips)
    assert len(shards) == 18
    assert {len(shard.clips) for shard in shards} == {61, 62}
    dealt = [clip.name for shard in shards for clip in shard.clips]
    assert sorted(dealt) == [clip.name for clip in clips]
    assert dealt[:3] == ["clip0947", "clip1097", "clip0632"]  # on every machine, for ever
    backwards = plan_shards(tmp_path / "elsewhere", "clips", "train", clips[::-1])
    assert [clip.name for shard in backwards for clip in shard.clips] == dealt
