"""What `python -m data.prepare` refuses: folders, settings, flags, a second run."""

import sys
from pathlib import Path

import pytest

from data.prepare.settings import only_run
from tests.helpers.error_lines import error_of
from tests.helpers.prepare_files import contents, prepare, write_noise_clip
from tests.helpers.prepare_results import PNG


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
