"""Frames that lose their proportions are said, once a command."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.evaluation_set import clips_for_test
from data.loader import open_dataset
from tests.helpers.clip_files import small_config
from tests.helpers.prepare_files import prepare, write_noise_set


def write_wide_clips(root: Path) -> None:
    for split in ("train", "test"):
        for clip in range(2):
            folder = root / split / f"clip{clip}"
            folder.mkdir(parents=True)
            for index in range(2):
                picture = np.full((18, 32, 3), 40 * index, np.uint8)
                Image.fromarray(picture).save(folder / f"{index}.png")


def test_the_loader_and_the_evaluation_beside_it_say_it_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_wide_clips(tmp_path)
    config = small_config(tmp_path)
    dataset = open_dataset(config)
    with dataset.batches(batch_size=2, num_repeats=4, seed=0) as batches:
        for _ in range(3):
            next(batches)
    warning = dataset.reader.squeeze_warning
    for clip in clips_for_test(config, resize=True, squeeze_warning=warning):
        assert {frame.shape for frame in clip.frames()} == {(16, 16, 3)}
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: squeezed to 16 x 16: frames such as those of clip")
    assert "(32 x 18); crop" in line


def test_an_evaluation_that_resizes_says_it_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_wide_clips(tmp_path)
    for resize, count in ((False, 0), (True, 1)):
        for clip in clips_for_test(small_config(tmp_path), resize=resize):
            assert len(list(clip.frames())) == 2
        assert len(capsys.readouterr().err.splitlines()) == count


def test_preparing_counts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_wide_clips(tmp_path / "raw")
    write_noise_set(tmp_path / "raw", train=2, test=1)
    for flags, said in ((("--size", "16"), True), ((), False)):
        output = tmp_path / f"made{said}"
        assert prepare(monkeypatch, tmp_path / "raw", output, *flags) == 0
        lines = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
        expected = (
            "warning: 4 of 7 clips had other proportions than 16 x 16, and were squeezed to that: "
            "crop them first to keep shapes"
        )
        assert lines == [expected] * said
