"""What a folder of clips holds is read, or said."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.clip import Clip
from data.clips import FolderClip, StripClip
from data.evaluation_set import clips_for_test, pairs_of_clips
from data.loader import clip_notes, open_clips, open_dataset
from detectors.table import find_clips as find_clips_of_table
from tests.helpers.clip_files import (
    SIZE,
    frame,
    label,
    small_config,
    write_folder,
    write_strip,
    write_video,
)
from tests.helpers.error_lines import error_of
from tests.helpers.found_clips import find, labels, names, only
from tests.helpers.prepare_files import prepare, write_noise_set
from tpsm_jax.errors import InputError


def write_single(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        Image.fromarray(frame(1, index % 10)).save(folder / f"{index}.png")


def test_frames_of_a_clip_are_in_natural_order(tmp_path: Path) -> None:
    folder = tmp_path / "train" / "a"
    folder.mkdir(parents=True)
    for index in range(11):
        Image.fromarray(frame(1, index)).save(folder / f"{index + 1}.png")
    clip = only(tmp_path)
    assert labels(clip) == [(1, index) for index in range(11)]
    assert [label(picture) for picture in clip.pair(0.1, 0.99)] == [(1, 1), (1, 10)]


def test_clips_stay_in_plain_order(tmp_path: Path) -> None:
    """What a seed draws hangs on it, in runs and prepared sets that exist."""
    for name in ("10", "9", "1"):
        write_folder(tmp_path / "train" / name, 0, 1)
    (tmp_path / "test").mkdir()
    assert names(find(tmp_path)) == ["1", "10", "9"]


@pytest.mark.parametrize("name", ["a.webp", "a.png", "a.apng"])
def test_an_animated_picture_is_a_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / "train" / name
    path.parent.mkdir()
    images = [Image.fromarray(frame(1, index, 64)) for index in range(5)]
    options = {"a.webp": {"lossless": True}, "a.apng": {"format": "PNG"}}.get(name, {})
    images[0].save(path, save_all=True, append_images=images[1:], duration=40, **options)
    clip = only(tmp_path)
    assert labels(clip) == [(1, index) for index in range(5)]
    assert [label(picture) for picture in clip.pair(0.99, 0.2)] == [(1, 1), (1, 4)]
    assert clip.frame_rate == 25
    # Not all frames in memory, which may be thousands.
    monkeypatch.setattr(Clip, "pair", lambda *_: pytest.fail("it read all frames"))
    clip.pair(0.99, 0.2)


@pytest.mark.parametrize("name", ["a.webp", "a.bmp", "a.tif", "a.jfif", "a.avif"])
def test_a_still_picture_is_frames_next_to_each_other(tmp_path: Path, name: str) -> None:
    write_strip(tmp_path / "a.png", 1, 4, size=64)
    path = tmp_path / "train" / name
    path.parent.mkdir()
    kind = {"a.jfif": "JPEG"}.get(name)
    Image.open(tmp_path / "a.png").save(path, format=kind)
    clip = only(tmp_path)
    assert isinstance(clip, StripClip)
    assert labels(clip) == [(1, index) for index in range(4)]
    assert clip.frame_rate == 0


def test_a_broken_link_is_a_clip_and_is_not_passed_over(tmp_path: Path) -> None:
    write_folder(tmp_path / "train" / "a", 0, 2)
    (tmp_path / "test").mkdir()
    (tmp_path / "train" / "b").symlink_to("nothing")
    config = small_config(tmp_path)
    config.skip_broken = 1
    dataset = open_dataset(config)
    assert [[clip.name for clip in clips] for clips in dataset.entries] == [["a"], ["b"]]
    assert dataset.notes() == []


def test_what_is_passed_over_is_counted_by_kind(tmp_path: Path) -> None:
    for name in ("README.md", "boxes.csv", "more.csv", "LICENSE", ".DS_Store"):
        (tmp_path / "train").mkdir(exist_ok=True)
        (tmp_path / "train" / name).write_text("?")
    for clip in "ab":
        write_folder(tmp_path / "train" / clip, 0, 2)
        write_video(tmp_path / "train" / clip / "sound.mp4", 0, 1)
    write_video(tmp_path / "train" / "c.mp4", 0, 2)
    write_folder(tmp_path / "test" / "d", 0, 2)
    (tmp_path / "test" / "d" / "times.json").touch()
    config = small_config(tmp_path)
    assert open_dataset(config).notes() == [
        f"{tmp_path}/train: passed over 2 .csv, 1 .md, 1 file without a suffix and 2 .mp4 in "
        "folders of frames"
    ]
    assert clip_notes(config, open_clips(config)) == [
        f"{tmp_path}/test: passed over 1 .json in folders of frames"
    ]
    (tmp_path / "test" / "d" / "times.json").unlink()
    assert clip_notes(config, open_clips(config)) == []


def test_a_detector_says_what_it_passes_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_strip(tmp_path / "a.png", 0, 2)
    (tmp_path / "notes.txt").touch()
    assert len(find_clips_of_table(tmp_path, (SIZE, SIZE))) == 1
    assert capsys.readouterr().err == f"warning: {tmp_path}: passed over 1 .txt\n"


def test_a_folder_of_videos_is_named_with_a_way_on(tmp_path: Path) -> None:
    write_video(tmp_path / "train" / "person" / "a.mp4", 0, 2)
    (tmp_path / "test").mkdir()
    expected = r"person is a folder without a picture but with 1 \.mp4: .* goes into .*train itself"
    with pytest.raises(InputError, match=expected):
        find(tmp_path)


@pytest.mark.parametrize("size", [(SIZE, SIZE), (36, 64), (64, 36)])
def test_frames_of_one_video_directly_in_train_are_refused(tmp_path: Path, size: tuple) -> None:
    for split in ("train", "test"):
        write_single(tmp_path / split, 50)
        for path in (tmp_path / split).iterdir():
            Image.fromarray(np.zeros((*size, 3), np.uint8)).save(path)
    config = small_config(tmp_path)
    expected = r"all 50 clips of .* have a single frame: a video's frames go into a folder of their"
    for use in (lambda: open_dataset(config), lambda: clips_for_test(config)):
        with pytest.raises(InputError, match=expected) as raised:
            use()
        assert "\n" not in str(raised.value)
    assert len(pairs_of_clips(config, [("1.png", "2.png")])) == 1  # stills may be sources


def test_the_folder_that_is_named_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_single(tmp_path / "raw", 10)  # neither train/ nor test/
    assert prepare(monkeypatch, tmp_path / "raw", tmp_path / "out") == 2
    assert f"all 8 clips of {tmp_path / 'raw'} have a single frame" in error_of(capsys)


def test_some_clips_of_one_frame_are_counted(tmp_path: Path) -> None:
    write_single(tmp_path / "train", 3)
    write_strip(tmp_path / "train" / "wide.png", 0, 4)
    write_folder(tmp_path / "train" / "a", 0, 1)
    write_folder(tmp_path / "train" / "b", 0, 2)
    (tmp_path / "test").mkdir()
    assert open_dataset(small_config(tmp_path)).notes() == [
        f"4 of the 6 clips of {tmp_path} have a single frame, and no motion"
    ]


def test_preparing_says_what_it_passes_over_and_refuses_single_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_noise_set(tmp_path / "raw", train=2, test=2)
    (tmp_path / "raw" / "train" / "README.md").touch()
    assert prepare(monkeypatch, tmp_path / "raw", tmp_path / "made") == 0
    assert f"warning: {tmp_path}/raw/train: passed over 1 .md\n" in capsys.readouterr().err
    for split in ("train", "test"):
        write_single(tmp_path / "loose" / split, 3)
    assert prepare(monkeypatch, tmp_path / "loose", tmp_path / "loosely") == 2
    assert "all 3 clips of " in error_of(capsys)
    assert not (tmp_path / "loosely").exists()


def test_the_contents_of_a_folder_are_listed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "a", 0, 2)
    clip = FolderClip(tmp_path / "a")
    assert clip.problem() == ""
    monkeypatch.setattr("os.listdir", None)
    assert not clip.has_one_frame
    assert clip.contents == (2, {})
