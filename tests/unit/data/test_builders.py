"""The builders of TensorFlow Datasets, and how it reads a prepared data set."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.pipeline import import_tensorflow
from data.prepare import PreparedClip, open_prepared
from data.prepare.sources import KINDS
from tests.helpers.prepare_files import prepare, write_noise_clip, write_noise_set
from tests.unit.data.test_squeezed import write_wide_clips

import_tensorflow()
import tensorflow_datasets as tfds  # noqa: E402

import data.builders as builders  # noqa: E402


def examples(builder: Any, split: str) -> dict[str, dict[str, Any]]:
    """The examples of a split by name, with the encoded frames."""
    stored = {"frames": tfds.decode.SkipDecoding()}
    read = tfds.as_numpy(builder.as_dataset(split=split, decoders=stored))
    return {example["name"].decode(): example for example in read}


def test_there_is_one_for_each_data_set() -> None:
    named = {
        builder.name: builder
        for builder in vars(builders).values()
        if isinstance(builder, type) and issubclass(builder, builders.ClipsBuilder)
        if builder is not builders.ClipsBuilder
    }
    assert set(named) == set(KINDS)
    assert KINDS["ted"].size == 384


@pytest.mark.slow
def test_a_builder_says_what_it_squeezes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_wide_clips(tmp_path / "raw")
    config = builders.ClipsConfig(input=str(tmp_path / "raw"), size=16)
    builders.Clips(config=config, data_dir=str(tmp_path / "tfds")).download_and_prepare()
    assert capsys.readouterr().err.count(
        "warning: 2 of 2 clips had other proportions than 16 x 16, and were squeezed to that"
    ) == len(("train", "test"))


@pytest.mark.slow
@pytest.mark.parametrize("builder", ["VoxCeleb", "TaiChiHD", "TEDTalks", "MGif", "Clips"])
def test_a_builder_makes_the_examples_that_prepare_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, builder: str
) -> None:
    write_noise_set(tmp_path / "raw", train=3, test=1)
    write_noise_clip(tmp_path / "raw" / "train" / "id1#ü 1", 2)
    kind = getattr(builders, builder)
    config = builders.ClipsConfig(input=str(tmp_path / "raw"), size=24, quality=90)
    made = kind(config=config, data_dir=str(tmp_path / "tfds"))
    made.download_and_prepare()

    flags = ("--dataset", kind.name, "--size", "24", "--quality", "90")
    assert prepare(monkeypatch, tmp_path / "raw", tmp_path / "made", *flags) == 0
    prepared = tfds.builder_from_directory(tmp_path / "made")
    assert prepared.info.splits["train"].num_examples == 4
    for split in ("train", "test"):
        ours, theirs = examples(prepared, split), examples(made, split)
        assert sorted(ours) == [clip.name for clip in open_prepared(tmp_path / "made", split)]
        assert ours.keys() == theirs.keys()
        for name, example in ours.items():
            for key, value in example.items():
                np.testing.assert_array_equal(value, theirs[name][key])


def test_tensorflow_datasets_reads_what_the_reader_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = write_noise_set(tmp_path / "raw", train=20, test=2)
    flags = ("--format", "png", "--max_broken", "1")
    (tmp_path / "raw" / "train" / "empty").mkdir()  # alone in its record file, which is then empty
    assert prepare(monkeypatch, tmp_path / "raw", tmp_path / "made", *flags) == 0
    builder = tfds.builder_from_directory(tmp_path / "made")
    clips = {clip.name: clip for clip in open_prepared(tmp_path / "made", "train")}
    read = {
        example["name"].decode(): example for example in tfds.as_numpy(builder.as_dataset("train"))
    }
    assert read.keys() == clips.keys()
    for name, clip in clips.items():
        assert isinstance(clip, PreparedClip)
        np.testing.assert_array_equal(read[name]["frames"], frames[name])
        np.testing.assert_array_equal(list(clip.frames()), frames[name])
        ours = (clip.identity.encode(), clip.num_frames, clip.height, clip.width, clip.frame_rate)
        fields = ("identity", "num_frames", "height", "width", "frame_rate")
        assert ours == tuple(read[name][field] for field in fields)


def test_puppets_are_built_without_a_folder(tmp_path: Path) -> None:
    config = builders.ClipsConfig(clips=2, frames=3, size=32)
    builder = builders.Puppets(config=config, data_dir=str(tmp_path))
    builder.download_and_prepare()
    assert sorted(examples(builder, "train")) == ["0000000#0000000", "0000000#0000001"]
    assert sorted(examples(builder, "test")) == ["1000000#1000000", "1000000#1000001"]


def test_a_broken_clip_ends_a_build_by_name(tmp_path: Path) -> None:
    write_noise_set(tmp_path / "raw", train=2, test=1)
    (tmp_path / "raw" / "train" / "bad.mp4").touch()
    config = builders.ClipsConfig(input=str(tmp_path / "raw"))
    builder = builders.Clips(config=config, data_dir=str(tmp_path / "tfds"))
    with pytest.raises(Exception, match=r"the clip bad\.mp4 is broken: .* no video"):
        builder.download_and_prepare()
