"""The table of key points, with detectors made here; MediaPipe itself is in check_detector.py."""

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from detectors import table
from detectors.interface import Detection
from tests.helpers.clip_files import label, write_folder, write_strip, write_video
from tpsm_jax.cli import run_script

Make = Callable[..., int]


class Labels:
    """Two points: (clip, number) of the frame, always there; and its size, in even frames only."""

    name = "labels"
    keypoints = ("label", "size")

    def detect(self, frame: np.ndarray) -> Detection | None:
        assert frame.flags.c_contiguous
        assert frame.dtype == np.uint8
        clip, number = label(frame)
        if number == 4:
            return None
        value = np.array([(clip, number), frame.shape[1::-1]], float)
        return Detection(value, np.array([True, number % 2 == 0]))


class Colors:
    """An embedding."""

    name = "colors"
    keypoints = ()

    def detect(self, frame: np.ndarray) -> Detection | None:
        return Detection(frame.mean(axis=(0, 1)), True) if label(frame)[1] else None


class Nothing(Labels):
    def detect(self, frame: np.ndarray) -> None:
        return None


class WrongShape(Labels):
    def detect(self, frame: np.ndarray) -> Detection:
        return Detection(np.zeros((3, 2)), np.ones(2, bool))


class WrongInTheEnd(Labels):
    def detect(self, frame: np.ndarray) -> Detection | None:
        good = super().detect(frame)
        return Detection(np.zeros(9), True) if label(frame) == (3, 2) else good


class NoNames:
    name = "no names"


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    write_strip(folder / "a.mp4.png", clip=1, count=6)
    write_folder(folder / "b", clip=2, count=2, size=24)
    write_video(folder / "c.mp4", clip=3, count=3)
    (folder / "notes.txt").touch()
    return folder


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, clips: Path) -> Make:
    def run(detector: str, *flags: str, source: Path = clips, output: str = "t.jsonl") -> int:
        place = str(clips.parent / output)
        command = ["table", "--input", str(source), "--output", place, *flags]
        monkeypatch.setattr(sys, "argv", [*command, "--detector", detector])
        with pytest.raises(SystemExit) as ended:
            run_script(table.main)
        return int(ended.value.code or 0)

    return run


def read(clips: Path) -> list[dict]:
    return [json.loads(line) for line in (clips.parent / "t.jsonl").read_text().splitlines()]


def test_every_frame_has_its_row(clips: Path, make: Make) -> None:
    assert make(f"{__name__}:Labels") == 0
    rows = [tuple(row.values()) for row in read(clips)]
    expected = [
        (name, number, [[clip, number], [side, side] if number % 2 == 0 else [-1, -1]], "labels")
        for name, clip, side, count in [
            ("a.mp4.png", 1, 16, 6),
            ("b", 2, 24, 2),
            ("c.mp4", 3, 32, 3),
        ]
        for number in range(count)
    ]
    expected[4] = ("a.mp4.png", 4, None, "labels")
    assert rows == expected
    assert list(read(clips)[0]) == ["file_name", "frame_number", "value", "detector"]


def test_a_compressed_table_is_the_same(clips: Path, make: Make) -> None:
    assert make(f"{__name__}:Labels") == 0
    assert make(f"{__name__}:Labels", output="t.jsonl.gz") == 0
    compressed = gzip.decompress((clips.parent / "t.jsonl.gz").read_bytes())
    assert compressed == (clips.parent / "t.jsonl").read_bytes()


def test_frames_without_anything_are_reported(make: Make, capsys: pytest.CaptureFixture) -> None:
    assert make(f"{__name__}:Labels") == 0
    out = capsys.readouterr().out
    assert "nothing found in 1 of 11 frames" in out
    assert "a.mp4.png: 1 of 6: 4\n" in out
    assert "points found in the other frames: 75.0%" in out  # 10 and 5 of 20


def test_nothing_anywhere(clips: Path, make: Make, capsys: pytest.CaptureFixture) -> None:
    assert make(f"{__name__}:Nothing") == 0
    assert [row["value"] for row in read(clips)] == [None] * 11
    out = capsys.readouterr().out
    assert "nothing found in 11 of 11 frames" in out
    assert "a.mp4.png: 6 of 6: 0-5\n" in out


def test_embeddings(clips: Path, make: Make) -> None:
    assert make(f"{__name__}:Colors") == 0
    assert [row["value"] for row in read(clips)[:3]] == [None, [30, 30, 50], [30, 50, 50]]


def test_frames_at_the_size_of_the_model(clips: Path, make: Make) -> None:
    assert make(f"{__name__}:Labels", "--resize", "--frame_shape", "16,16") == 0
    sizes = [row["value"][1] for row in read(clips) if row["frame_number"] in (0, 2)]
    assert sizes == [[16, 16]] * 5


def test_frames_that_lose_their_proportions_are_said_once(
    clips: Path, make: Make, capsys: pytest.CaptureFixture
) -> None:
    assert make(f"{__name__}:Labels", "--resize", "--frame_shape", "16,32") == 0
    assert capsys.readouterr().err.count("warning: squeezed to 32 x 16: frames such as") == 1
    assert make(f"{__name__}:Labels") == 0
    assert "squeezed" not in capsys.readouterr().err


def test_wide_pictures_of_oblong_frames(clips: Path, make: Make) -> None:
    assert make(f"{__name__}:Labels", "--frame_shape", "8,16") == 0
    assert [row["file_name"] for row in read(clips)].count("a.mp4.png") == 3


def test_of_a_data_set_the_test_clips_are_taken(clips: Path, make: Make) -> None:
    root = clips.parent / "set"
    write_folder(root / "train" / "x", clip=0, count=2)
    write_folder(root / "test" / "y", clip=0, count=3)
    assert make(f"{__name__}:Labels", source=root) == 0
    assert [row["file_name"] for row in read(clips)] == ["y"] * 3


def test_broken_clips_are_named_and_left_out(
    clips: Path, make: Make, capsys: pytest.CaptureFixture
) -> None:
    (clips / "b" / "0001.png").write_bytes(b"no picture")  # after a frame that can be read
    (clips / "c.mp4").write_bytes(b"no video")
    (clips / "d").mkdir()
    assert make(f"{__name__}:Labels") == 0
    assert {row["file_name"] for row in read(clips)} == {"a.mp4.png"}
    said = capsys.readouterr()
    assert "cannot be read: b, c.mp4, d" in said.out
    assert said.err.count("left out:") == 3


def test_a_detector_has_to_keep_its_word(make: Make, clips: Path) -> None:
    with pytest.raises(ValueError, match=r"labels: .* 2 points have shapes \(3, 2\) and \(2,\)"):
        make(f"{__name__}:WrongShape")
    assert sorted(clips.parent.iterdir()) == [clips]


@pytest.mark.parametrize(
    ("detector", "message"),
    [
        ("Labels", "is not PACKAGE.MODULE:CLASS"),
        ("no.such.module:Labels", "cannot import the detector"),
        (".relative:Labels", "cannot import the detector"),
        (f"{__name__}:Missing", "has no Missing"),
        (f"{__name__}:NoNames", "lacks keypoints, detect"),
    ],
)
def test_detectors_that_are_none(
    make: Make, capsys: pytest.CaptureFixture, detector: str, message: str
) -> None:
    assert make(detector) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("source", "output", "shape", "message"),
    [
        ("nowhere", "t.jsonl", "16,16", "there is no folder of clips"),
        ("empty", "t.jsonl", "16,16", "holds no clip"),
        ("broken", "t.jsonl", "16,16", "none of the 1 clips could be read"),
        ("twice", "t.jsonl", "16,16", "has 2 clips x with different suffixes"),
        ("clips", "t.csv", "16,16", "end it in .jsonl or .jsonl.gz"),
        ("clips", "nowhere/t.jsonl", "16,16", "there is no folder"),
        ("clips", "t.jsonl", "256", "'256' is not HEIGHT,WIDTH"),
        ("clips", "t.jsonl", "0,9", "'0,9' is not HEIGHT,WIDTH"),
    ],
)
def test_bad_input_is_reported_in_a_line(
    make: Make,
    clips: Path,
    capsys: pytest.CaptureFixture,
    source: str,
    output: str,
    shape: str,
    message: str,
) -> None:
    for name in ("empty", "broken"):
        (clips.parent / name).mkdir()
    (clips.parent / "broken" / "x.png").touch()
    for name in ("x.mp4", "x"):
        (clips.parent / "twice" / name).mkdir(parents=True)
    code = make(
        f"{__name__}:Labels", "--frame_shape", shape, source=clips.parent / source, output=output
    )
    assert code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
    assert not (clips.parent / output).exists()


def test_an_older_table_outlives_a_failure(clips: Path, make: Make) -> None:
    assert make(f"{__name__}:Nothing") == 0
    before = (clips.parent / "t.jsonl").read_bytes()
    with pytest.raises(ValueError, match="shapes"):
        make(f"{__name__}:WrongInTheEnd")
    assert (clips.parent / "t.jsonl").read_bytes() == before
    assert sorted(clips.parent.iterdir()) == [clips, clips.parent / "t.jsonl"]
