"""`python -m data.prepare` on good and bad input: what it keeps, leaves out and reports."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.clips import FolderClip
from data.prepare import open_prepared
from data.prepare.settings import only_run
from data.prepare.shards import plan_shards
from data.puppets import draw_clip
from tests.helpers.clip_files import frame, label, write_strip, write_video
from tests.helpers.prepare_files import contents, noise, prepare, write_noise_clip, write_noise_set

PNG = ("--format", "png")


def names(root: Path, split: str = "train") -> list[str]:
    return [clip.name for clip in open_prepared(root, split)]


def report(root: Path) -> dict[str, list[dict]]:
    return json.loads((root / "broken.json").read_text())


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of the error, after the progress bar."""
    lines = capsys.readouterr().err.strip().split("\n")
    errors = [line for line in lines if line.startswith("error: ")]
    assert errors == lines[-1:]
    return errors[0]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Two good clips per split, of three frames; tests add more to train/."""
    write_noise_set(tmp_path / "raw", train=2, test=2)
    return tmp_path / "raw"


# ---------------------------------------------------------------- what is kept


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


# ---------------------------------------------------------------- what is left out


def break_clips(folder: Path) -> dict[str, str]:
    """Writes one clip of each broken kind, and returns what is reported for it."""
    (folder / "empty").mkdir()
    (folder / "empty" / ".DS_Store").touch()
    write_noise_clip(folder / "half", 3)
    half = folder / "half" / "0001.png"
    half.write_bytes(half.read_bytes()[:300])
    write_noise_clip(folder / "mixed", 2)
    Image.fromarray(noise(5, 16, 20)).save(folder / "mixed" / "9.png")
    (folder / "nothing.mp4").touch()
    write_video(folder / "torn.mp4", 1, 20)
    torn = folder / "torn.mp4"
    torn.write_bytes(torn.read_bytes()[:600])
    (folder / "dangling.mp4").symlink_to(folder / "nowhere.mp4")
    write_strip(folder / "wide.png", 1, 3, size=20)
    (folder / "wide.png").write_bytes((folder / "wide.png").read_bytes()[:60])
    return {
        "dangling.mp4": "there is no video",
        "empty": "is a folder without a picture",
        "half": "cannot read the picture",
        "mixed": "is 20 x 16 and those before it 16 x 16: give --size",
        "nothing.mp4": "is no video that ffmpeg can read",
        "torn.mp4": "is no video that ffmpeg can read",
        "wide.png": "cannot read the picture",
    }


def test_broken_clips_are_left_out_and_named(
    raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = break_clips(raw / "train")
    output = raw.parent / "made"
    assert prepare(monkeypatch, raw, output, "--max_broken", "6") == 2
    assert "7 broken clips, named in " in error_of(capsys)
    assert prepare(monkeypatch, raw, output, "--max_broken", "7") == 0
    assert "prepared 4 clips in" in capsys.readouterr().out
    assert names(output) == ["t00", "t01"]
    broken = {entry["name"]: entry for entry in report(output)["broken"]}
    assert list(broken) == list(expected)
    for name, part in expected.items():
        assert part in broken[name]["reason"]
        assert name in broken[name]["reason"]
        assert "\n" not in broken[name]["reason"]
        assert broken[name]["split"] == "train"


def test_mended_clips_are_taken_in(
    raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_noise_set(raw.parent / "good", train=3, test=2)
    (raw / "train" / "t02").mkdir()
    output = raw.parent / "made"
    assert prepare(monkeypatch, raw, output) == 2
    assert "1 broken clips" in error_of(capsys)
    for file in (raw.parent / "good/train/t02").iterdir():
        (raw / "train" / "t02" / file.name).write_bytes(file.read_bytes())
    assert prepare(monkeypatch, raw, output) == 2  # what is done is not done again
    assert prepare(monkeypatch, raw, output, "--retry_broken") == 0
    assert prepare(monkeypatch, raw.parent / "good", raw.parent / "at once") == 0
    assert contents(output) == contents(raw.parent / "at once")
    capsys.readouterr()
    assert prepare(monkeypatch, raw, output, "--retry_broken") == 2
    assert "is finished, and its clips cannot be read again" in error_of(capsys)


def test_a_truncated_video_is_kept_up_to_there_and_reported(
    raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(raw / "train" / "whole.mkv", 1, 50)
    data = (raw / "train" / "whole.mkv").read_bytes()
    (raw / "train" / "cut.mkv").write_bytes(data[: len(data) * 2 // 3])
    output = raw.parent / "made"
    assert prepare(monkeypatch, raw, output) == 0
    clips = {clip.name: len(list(clip.frames())) for clip in open_prepared(output, "train")}
    assert clips["whole.mkv"] == 50
    (short,) = report(output)["short"]
    assert short == {
        "split": "train",
        "name": "cut.mkv",
        "frames": clips["cut.mkv"],
        "expected": 50,
    }
    assert 1 <= short["frames"] < 45


def test_a_name_that_is_not_utf8_is_reported(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_noise_clip(raw / "train" / "bad\udcff", 1)
    output = raw.parent / "made"
    assert prepare(monkeypatch, raw, output, "--max_broken", "1") == 0
    assert "is not UTF-8: rename it" in report(output)["broken"][0]["reason"]
    assert names(output) == ["t00", "t01"]


def test_a_split_of_broken_clips_alone_is_reported(
    raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (raw / "test").rglob("*.png"):
        path.write_bytes(b"?")
    assert prepare(monkeypatch, raw, raw.parent / "made", "--max_broken", "9") == 2
    assert "no clip of test can be read" in error_of(capsys)


# ---------------------------------------------------------------- what is refused


def test_an_empty_train_folder_no_test_folder_and_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "made"
    assert prepare(monkeypatch, tmp_path / "nowhere", output) == 2
    assert "there is no folder of clips" in error_of(capsys)
    (tmp_path / "raw" / "train").mkdir(parents=True)
    assert prepare(monkeypatch, tmp_path / "raw", output) == 2
    assert "has train/ but no test/" in error_of(capsys)
    write_noise_clip(tmp_path / "raw" / "test" / "a", 1)
    assert prepare(monkeypatch, tmp_path / "raw", output) == 2
    assert "train holds no clip" in error_of(capsys)
    assert not output.exists()


def test_other_settings_and_other_clips_are_refused(
    raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = raw.parent / "made"
    assert prepare(monkeypatch, raw, output) == 0
    before = contents(output)
    for flags, message in (
        (("--quality", "90"), "begun with quality 95, not 90"),
        (PNG, "begun with format jpeg, not png"),
        (("--size", "32"), r"begun with size None, not [32, 32]"),
        (("--dataset", "mgif"), "begun with dataset clips, not mgif"),
        (("--frame_shape", "16", "16"), "begun with frame_shape None, not [16, 16]"),
    ):
        assert prepare(monkeypatch, raw, output, *flags) == 2
        assert message in error_of(capsys)
    (raw / "train" / "t01").rename(raw / "train" / "other")
    assert prepare(monkeypatch, raw, output) == 2
    assert "begun with other clips than the input has now" in error_of(capsys)
    assert contents(output) == before


def test_a_second_run_finds_that_all_is_done(
    raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = raw.parent / "made"
    for message in ("prepared 4 clips in", "is prepared already"):
        assert prepare(monkeypatch, raw, output) == 0
        assert message in capsys.readouterr().out


def test_a_folder_of_other_things_is_refused(
    raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare(monkeypatch, raw, raw.parent) == 2
    assert "holds other things" in error_of(capsys)


@pytest.mark.parametrize("place", ["", "made", "train/made", "../raw/made"])
def test_an_output_within_the_input_is_refused(
    raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    before = contents(raw)
    assert prepare(monkeypatch, raw, raw / place) == 2
    assert "is within --input" in error_of(capsys)
    assert contents(raw) == before


def test_what_is_prepared_is_not_prepared_again(
    raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = raw.parent / "made"
    assert prepare(monkeypatch, raw, output) == 0
    assert prepare(monkeypatch, output, raw.parent / "other") == 2
    assert "made is prepared already: give --input the folder it is from" in error_of(capsys)


def test_one_run_at_a_time_which_clears_away_what_a_killed_one_left(
    raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output, work = raw.parent / "made", raw.parent / "made" / "unfinished"
    (raw / "train" / "empty").mkdir()
    assert prepare(monkeypatch, raw, output) == 2
    error_of(capsys)
    left = work / "clips-train.tfrecord-00000-of-00003.0a1b2c3d"
    left.write_bytes(b"half")
    with only_run(output):
        assert not left.exists()
        assert prepare(monkeypatch, raw, output) == 2
        assert "another run is preparing" in error_of(capsys)
    assert prepare(monkeypatch, raw, output, "--max_broken", "1") == 0


def test_an_output_that_cannot_be_a_folder_is_reported(
    raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (raw.parent / "file").touch()
    assert prepare(monkeypatch, raw, raw.parent / "file" / "made") == 2
    assert "file/made" in error_of(capsys)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--quality", "101"), "--quality is from 1 to 100, not 101"),
        (("--workers", "0"), "--workers is from 1 to"),
        (("--max_broken", "-1"), "--max_broken is from 0 to"),
        (("--size", "8"), "--size is from 16"),
        (("--frame_shape", "64", "0"), "--frame_shape is the height and the width of a frame"),
        (("--dataset", "puppets"), "give --input"),
        (("--dataset", "kinetics"), "invalid choice: 'kinetics'"),
    ],
)
def test_flags_that_make_no_sense(
    raw: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, ...],
    message: str,
) -> None:
    assert prepare(monkeypatch, raw, raw.parent / "made", *flags) == 2
    assert message in error_of(capsys)


def test_beam_that_is_not_installed_is_reported(
    raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    assert prepare(monkeypatch, raw, raw.parent / "made", "--beam") == 2
    assert "pip install -c constraints-beam.txt -e '.[beam]'" in error_of(capsys)
