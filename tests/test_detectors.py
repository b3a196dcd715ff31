"""The table of key points, with detectors made here; MediaPipe itself is in check_detector.py."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from detectors import table
from detectors.interface import Detection
from tests.clip_files import label, write_folder, write_strip, write_video
from tpsm_jax.errors import run_script

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


class Colours:
    """An embedding."""

    name = "colours"
    keypoints = ()

    def detect(self, frame: np.ndarray) -> Detection | None:
        return Detection(frame.mean(axis=(0, 1)), True) if label(frame)[1] else None


class Nothing(Labels):
    def detect(self, frame: np.ndarray) -> None:
        return None


class WrongShape(Labels):
    def detect(self, frame: np.ndarray) -> Detection:
        return Detection(np.zeros((3, 2)), np.ones(2, bool))


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
    def run(detector: str, *flags: str, source: Path = clips, output: str = "t.npz") -> int:
        place = str(clips.parent / output)
        command = ["table", "--input", str(source), "--output", place, *flags]
        monkeypatch.setattr(sys, "argv", [*command, "--detector", detector])
        with pytest.raises(SystemExit) as ended:
            run_script(table.main)
        return int(ended.value.code or 0)

    return run


def read(clips: Path) -> dict[str, np.ndarray]:
    with np.load(clips.parent / "t.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def test_every_frame_has_its_row(clips: Path, make: Make) -> None:
    assert make(f"{__name__}:Labels") == 0
    rows = read(clips)
    names = ["a.mp4.png"] * 6 + ["b"] * 2 + ["c.mp4"] * 3
    numbers = [0, 1, 2, 3, 4, 5, 0, 1, 0, 1, 2]
    assert rows["file_name"].tolist() == names
    assert rows["frame_number"].tolist() == numbers
    assert rows["keypoint"].tolist() == ["label", "size"]
    assert rows["detector"] == "labels"

    found = [(n != 4, n != 4 and n % 2 == 0) for n in numbers]
    assert rows["found"].tolist() == [list(row) for row in found]
    clip, side = [1] * 6 + [2] * 2 + [3] * 3, [16] * 6 + [24] * 2 + [32] * 3
    there = np.stack([np.stack([clip, numbers], 1), np.stack([side, side], 1)], 1)
    assert rows["value"].dtype == np.float32
    np.testing.assert_array_equal(rows["value"], np.where(np.array(found)[..., None], there, -1))


def test_frames_without_anything_are_told(make: Make, capsys: pytest.CaptureFixture) -> None:
    assert make(f"{__name__}:Labels") == 0
    out = capsys.readouterr().out
    assert "nothing found in 1 of 11 frames" in out
    assert "a.mp4.png: 1 of 6 frames: 4\n" in out
    assert "points found in the other frames: 75.0%" in out  # 10 and 5 of 20


def test_nothing_anywhere(clips: Path, make: Make, capsys: pytest.CaptureFixture) -> None:
    assert make(f"{__name__}:Nothing") == 0
    assert read(clips)["value"].shape == (11, 2, 2)
    assert (read(clips)["value"] == -1).all()
    assert not read(clips)["found"].any()
    assert "a.mp4.png: 6 of 6 frames: 0-5\n" in capsys.readouterr().out


def test_embeddings(clips: Path, make: Make) -> None:
    assert make(f"{__name__}:Colours") == 0
    rows = read(clips)
    assert rows["found"].tolist() == (rows["frame_number"] > 0).tolist()
    assert rows["keypoint"].size == 0
    np.testing.assert_array_equal(rows["value"][:2], [[-1, -1, -1], [30, 30, 50]])


def test_frames_at_the_size_of_the_model(clips: Path, make: Make) -> None:
    assert make(f"{__name__}:Labels", "--resize", "--frame_shape", "16,16") == 0
    rows = read(clips)
    assert (rows["value"][:, 1][rows["found"][:, 1]] == 16).all()


def test_wide_pictures_of_oblong_frames(clips: Path, make: Make) -> None:
    assert make(f"{__name__}:Labels", "--frame_shape", "8,16") == 0
    rows = read(clips)
    assert (rows["file_name"] == "a.mp4.png").sum() == 3


def test_of_a_data_set_the_test_clips_are_taken(clips: Path, make: Make) -> None:
    root = clips.parent / "set"
    write_folder(root / "train" / "x", clip=0, count=2)
    write_folder(root / "test" / "y", clip=0, count=3)
    assert make(f"{__name__}:Labels", source=root) == 0
    assert read(clips)["file_name"].tolist() == ["y"] * 3


def test_broken_clips_are_named_and_left_out(
    clips: Path, make: Make, capsys: pytest.CaptureFixture
) -> None:
    (clips / "b" / "0001.png").write_bytes(b"no picture")  # after a frame that can be read
    (clips / "c.mp4").write_bytes(b"no video")
    (clips / "d").mkdir()
    assert make(f"{__name__}:Labels") == 0
    assert set(read(clips)["file_name"]) == {"a.mp4.png"}
    assert read(clips)["broken"].tolist() == ["b", "c.mp4", "d"]
    told = capsys.readouterr()
    assert "cannot be read: b, c.mp4, d" in told.out
    assert told.err.count("left out:") == 3


def test_a_detector_has_to_keep_its_word(make: Make, clips: Path) -> None:
    with pytest.raises(ValueError, match=r"labels: .* 2 points have shapes \(\(3, 2\), \(2,\)\)"):
        make(f"{__name__}:WrongShape")
    assert not list(clips.parent.glob("*.npz"))


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
        ("nowhere", "t.npz", "16,16", "there is no folder of clips"),
        ("empty", "t.npz", "16,16", "holds no clip"),
        ("broken", "t.npz", "16,16", "none of the 1 clips could be read"),
        ("clips", "t.csv", "16,16", "with the suffix .npz"),
        ("clips", "nowhere/t.npz", "16,16", "there is no folder"),
        ("clips", "t.npz", "256", "'256' is not HEIGHT,WIDTH"),
        ("clips", "t.npz", "0,9", "'0,9' is not HEIGHT,WIDTH"),
    ],
)
def test_bad_input_is_told_in_a_line(
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
    code = make(
        f"{__name__}:Labels", "--frame_shape", shape, source=clips.parent / source, output=output
    )
    assert code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
    assert not (clips.parent / output).exists()


def test_an_older_table_outlives_a_failure(
    clips: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert make(f"{__name__}:Nothing") == 0
    before = (clips.parent / "t.npz").read_bytes()

    def full(path: Path, **arrays: np.ndarray) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as disk:
        disk.setattr(np, "savez_compressed", full)
        assert make(f"{__name__}:Labels") == 2
    assert (clips.parent / "t.npz").read_bytes() == before
    assert len(list(clips.parent.glob("*.npz"))) == 1
