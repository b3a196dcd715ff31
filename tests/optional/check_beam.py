"""`data.prepare --beam` on Beam's runner for one machine; run by `make test-beam`.

Apache Beam cannot be installed together with the releases that the other tests run with.
"""

from pathlib import Path

import pytest

from data.prepare import open_prepared
from tests.helpers.prepare_files import contents, prepare, write_noise_set


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    write_noise_set(tmp_path / "raw", train=20, test=2)
    (tmp_path / "raw" / "train" / "broken.mp4").touch()
    return tmp_path / "raw"


def test_the_bytes_are_those_of_a_run_without_beam(
    raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, on_beam = raw.parent / "whole", raw.parent / "on beam"
    assert prepare(monkeypatch, raw, whole, "--max_broken", "1") == 0
    assert prepare(monkeypatch, raw, on_beam, "--max_broken", "1", "--beam") == 0
    assert contents(on_beam) == contents(whole)
    assert len(open_prepared(on_beam, "train")) == 20


def test_what_is_done_is_passed_over(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, on_beam = raw.parent / "whole", raw.parent / "on beam"
    beam = "--beam=--runner=DirectRunner --direct_running_mode=in_memory"
    assert prepare(monkeypatch, raw, on_beam, beam) == 2  # a broken clip
    for name in ("train", "test"):
        (raw / name).rename(raw / f"{name}.away")
        (raw / name).mkdir()
        for clip in (raw / f"{name}.away").iterdir():
            (raw / name / clip.name).mkdir()  # by the same names, without a frame
    assert prepare(monkeypatch, raw, on_beam, beam, "--max_broken", "1") == 0
    for name in ("train", "test"):
        for clip in (raw / name).iterdir():
            clip.rmdir()
        (raw / name).rmdir()
        (raw / f"{name}.away").rename(raw / name)
    assert prepare(monkeypatch, raw, whole, "--max_broken", "1") == 0
    assert contents(on_beam) == contents(whole)


def test_a_failure_is_reported_in_a_line(
    raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = raw.parent / "made"
    assert prepare(monkeypatch, raw, output, "--beam=--runner=NoRunner") == 2
    message = capsys.readouterr().err.strip().split("\n")[-1]
    assert message.startswith("error: ")
    assert "NoRunner" in message

    (output / "clips-train.tfrecord-00000-of-00016").mkdir()
    assert prepare(monkeypatch, raw, output, "--beam") == 2
    message = capsys.readouterr().err.strip().split("\n")[-1]
    assert message.startswith("error: Apache Beam did not finish: ")
    assert "cannot write" in message
