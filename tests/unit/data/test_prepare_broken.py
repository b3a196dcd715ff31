"""Clips that cannot be read are left out of what is prepared, and named."""

import json
from pathlib import Path

import pytest
from PIL import Image

from data.prepare import open_prepared
from data.prepare.encoding import _LENGTH, LARGEST_CLIP
from tests.helpers.clip_files import write_strip, write_video
from tests.helpers.error_lines import error_of
from tests.helpers.prepare_files import contents, noise, prepare, write_noise_clip, write_noise_set
from tests.helpers.prepare_results import names, report


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
        "nothing.mp4": "is no video that PyAV can read",
        "torn.mp4": "is no video that PyAV can read",
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


def test_a_clip_that_no_record_holds_is_left_out_and_named(
    raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Protobuf's limit of 2 GB, brought down to what a test writes."""
    write_noise_clip(raw / "train" / "long", 40)
    monkeypatch.setattr("data.prepare.encoding.LARGEST_CLIP", 20_000)
    output = raw.parent / "made"
    assert prepare(monkeypatch, raw, output) == 2
    assert "1 broken clips, named in " in error_of(capsys)
    assert prepare(monkeypatch, raw, output, "--max_broken", "1") == 0
    assert names(output) == ["t00", "t01"]
    (broken,) = report(output)["broken"]
    assert broken["name"] == "long"
    assert "long takes more than the 2 GB that a record holds, from frame 15 on" in broken["reason"]
    assert "cut it into shorter clips, or give a smaller --size or --quality" in broken["reason"]


def test_what_is_written_beside_the_frames_fits_into_a_record(
    raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_noise_clip(raw / "train" / "t02", 200)
    assert prepare(monkeypatch, raw, raw.parent / "made") == 0
    clips = {clip.name: clip for clip in open_prepared(raw.parent / "made", "train")}
    frames = [clips["t02"].encoded(index) for index in range(200)]
    listed = json.loads((raw.parent / "made" / "clips-train.json").read_text())
    entry = next(entry for entry in listed["clips"] if entry["name"] == "t02")
    record = listed["shards"][entry["shard"]]["bytes"]
    room = 2**31 - 1 - LARGEST_CLIP
    assert record < sum(len(frame) + _LENGTH for frame in frames) + room // 100
