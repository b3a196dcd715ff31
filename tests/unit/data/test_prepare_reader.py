"""Prepared data sets read back: every frame, and an error of one line for every kind of damage."""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import data.prepare.reader
from data.loader import group_by_identity
from data.prepare import PreparedClip, is_prepared, open_prepared
from detectors.table import find_clips
from tests.helpers.prepare_files import contents, prepare, write_noise_clip, write_noise_set
from tpsm_jax.errors import InputError

JUST_BELOW_ONE = 1 - 2.0**-53


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A lossless prepared set, and its original frames."""
    root = tmp_path_factory.mktemp("set")
    frames = write_noise_set(root / "raw", train=5, test=2, frames=4)
    frames["id1#x y.mp4"] = write_noise_clip(root / "raw/train/id1#x y.mp4", 1, 77)
    with pytest.MonkeyPatch.context() as patch:
        assert prepare(patch, root / "raw", root / "made", "--format", "png") == 0
    return root / "made", frames


@pytest.fixture
def made(pristine: tuple[Path, dict], tmp_path: Path) -> Path:
    """A copy of the prepared set to damage."""
    for name, content in contents(pristine[0]).items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def first_clip(root: Path) -> PreparedClip:
    clip = open_prepared(root, "train")[0]
    assert isinstance(clip, PreparedClip)
    return clip


def error_of(read: Callable[[], object]) -> str:
    with pytest.raises(InputError) as error:
        read()
    assert "\n" not in str(error.value)
    return str(error.value)


# ---------------------------------------------------------------- what was written is read


def test_every_frame_of_every_clip_to_the_bit(pristine: tuple[Path, dict]) -> None:
    root, frames = pristine
    assert is_prepared(root)
    clips = open_prepared(root, "train") + open_prepared(root, "test")
    assert sorted(clip.name for clip in clips) == sorted(frames)
    for clip in clips:
        np.testing.assert_array_equal(list(clip.frames()), frames[clip.name])


def test_clips_are_sorted_and_tell_what_they_are(pristine: tuple[Path, dict]) -> None:
    clips = open_prepared(pristine[0], "train")
    assert [clip.name for clip in clips] == ["id1#x y.mp4", "t00", "t01", "t02", "t03", "t04"]
    assert [clip.name for clip in open_prepared(pristine[0], "test")] == ["e00", "e01"]
    assert [clip.name for clip in find_clips(pristine[0], (16, 16))] == ["e00", "e01"]
    clip = clips[0]
    assert clip.identity == "id1"
    assert isinstance(clip, PreparedClip)
    assert (clip.num_frames, clip.height, clip.width, clip.frame_rate) == (1, 16, 16, 0.0)
    assert len(group_by_identity(clips)) == 6


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(0.0, JUST_BELOW_ONE, (0, 3)), (0.8, 0.3, (1, 3)), (0.5, 0.6, (2, 2))],
)
def test_pairs_are_in_order(
    pristine: tuple[Path, dict], first: float, second: float, expected: tuple[int, int]
) -> None:
    root, frames = pristine
    clip = open_prepared(root, "train")[1]
    for frame, index in zip(clip.pair(first, second), expected, strict=True):
        assert frame.dtype == np.uint8
        np.testing.assert_array_equal(frame, frames[clip.name][index])


def test_one_frame_is_both_frames(pristine: tuple[Path, dict]) -> None:
    earlier, later = first_clip(pristine[0]).pair(0.0, 0.9)
    np.testing.assert_array_equal(earlier, later)


def test_of_a_record_file_two_frames_are_read(
    pristine: tuple[Path, dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, lengths = open_prepared(pristine[0], "train")[1], []
    read = os.pread
    monkeypatch.setattr(
        os, "pread", lambda fd, length, at: lengths.append(length) or read(fd, length, at)
    )
    clip.pair(0.0, 0.9)
    assert len(lengths) == 2
    assert sum(lengths) < 0.6 * clip.path.stat().st_size  # of four frames as large


def test_threads_share_few_open_files(
    pristine: tuple[Path, dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, frames = pristine
    opener = data.prepare.reader._OpenFile
    one_at_a_time = data.prepare.reader.functools.lru_cache(maxsize=1)(opener)
    monkeypatch.setattr(data.prepare.reader, "_open", one_at_a_time)
    clips = open_prepared(root, "train")

    def read(number: int) -> bool:
        clip = clips[number % len(clips)]
        return np.array_equal(clip.pair(0.0, 0.0)[0], frames[clip.name][0])

    before = len(os.listdir("/dev/fd"))
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(read, range(600)))
    assert len(os.listdir("/dev/fd")) <= before + 1


def test_jpeg_is_close(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = write_noise_set(tmp_path / "raw", train=1, test=1)
    errors = []
    for quality in ("50", "100"):
        output = tmp_path / quality
        assert prepare(monkeypatch, tmp_path / "raw", output, "--quality", quality) == 0
        read = np.array(list(open_prepared(output, "train")[0].frames()), float)
        errors.append(np.abs(read - frames["t00"]).mean())
    assert errors[1] < 1 < 10 < errors[0]  # noise is the hardest there is


# ---------------------------------------------------------------- damage


def test_an_unfinished_set_is_reported(made: Path) -> None:
    (made / "dataset_info.json").unlink()
    (made / "unfinished").mkdir()
    assert is_prepared(made)
    assert "is unfinished: run the same command" in error_of(lambda: open_prepared(made, "train"))


def test_a_folder_that_is_no_prepared_set(tmp_path: Path) -> None:
    assert not is_prepared(tmp_path)
    assert "no prepared data set" in error_of(lambda: open_prepared(tmp_path, "train"))


def test_no_such_split(made: Path) -> None:
    assert "no split 'val', only 'train', 'test'" in error_of(lambda: open_prepared(made, "val"))


def test_another_format_is_reported(made: Path) -> None:
    settings = json.loads((made / "prepared.json").read_text())
    (made / "prepared.json").write_text(json.dumps({**settings, "format_version": 2}))
    assert "prepared in format 2" in error_of(lambda: open_prepared(made, "train"))


def test_a_missing_record_file_is_named(made: Path) -> None:
    path = first_clip(made).path
    path.unlink()
    assert f"the record file {path} cannot be opened" in error_of(
        lambda: open_prepared(made, "train")
    )
    assert [clip.name for clip in open_prepared(made, "test")] == ["e00", "e01"]


def test_a_record_file_cut_short_is_named(made: Path) -> None:
    path = first_clip(made).path
    path.write_bytes(path.read_bytes()[:-5])
    size = path.stat().st_size
    message = error_of(lambda: open_prepared(made, "train"))
    assert f"the record file {path} has {size} bytes instead of {size + 5}" in message


def test_a_record_file_cut_short_or_gone_while_it_is_in_use(made: Path) -> None:
    cut, gone = open_prepared(made, "train")[:2]
    os.truncate(cut.path, 40)
    assert "is not what was written there" in error_of(lambda: cut.pair(0.0, 0.5))
    gone.path.unlink()
    assert f"frame 0 of the clip {gone.name} in {gone.path}" in error_of(
        lambda: gone.pair(0.0, 0.0)
    )


def test_a_flipped_byte_is_found_in_the_frame_that_has_it(made: Path) -> None:
    clip = open_prepared(made, "train")[1]
    assert isinstance(clip, PreparedClip)
    place = clip.path.read_bytes().index(clip.encoded(2)) + 50
    with clip.path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 1]))
    clip.pair(0.0, 0.9)  # frames 0 and 3
    message = error_of(lambda: clip.pair(0.0, 0.5))
    assert f"frame 2 of the clip t00 in {clip.path} is not what was written there" in message


@pytest.mark.parametrize("name", ["frames-train.npy", "clips-train.json"])
def test_a_missing_index_is_named(made: Path, name: str) -> None:
    (made / name).unlink()
    assert name in error_of(lambda: open_prepared(made, "train"))


@pytest.mark.parametrize("name", ["frames-train.npy", "clips-train.json", "prepared.json"])
@pytest.mark.parametrize("keep", [0, 60, -20])
def test_an_index_cut_short_is_named(made: Path, name: str, keep: int) -> None:
    (made / name).write_bytes((made / name).read_bytes()[:keep])
    assert name in error_of(lambda: open_prepared(made, "train"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("first_frame", 10**6),
        ("first_frame", -1),
        ("num_frames", 0),
        ("shard", 99),
        ("name", None),
        ("frame_rate", -1),
        ("frame_rate", 10**400),
    ],
)
def test_an_index_that_makes_no_sense_is_named(made: Path, field: str, value: int | None) -> None:
    path = made / "clips-train.json"
    listed = json.loads(path.read_text())
    if value is None:
        del listed["clips"][0][field]
    else:
        listed["clips"][0][field] = value
    path.write_text(json.dumps(listed))
    assert "clips-train.json is damaged" in error_of(lambda: open_prepared(made, "train"))


def test_a_table_with_other_places_is_reported(made: Path) -> None:
    path = made / "frames-train.npy"
    table = np.load(path)
    table["offset"] += 2**63
    np.save(path, table)
    assert "cannot read frame 0" in error_of(lambda: first_clip(made).pair(0.0, 0.0))
    table["offset"] -= 2**63
    table["length"] = 2**32 - 1
    np.save(path, table)
    assert "is not what was written" in error_of(lambda: first_clip(made).pair(0.0, 0.0))
    path.write_bytes(path.read_bytes().replace(b"(", b"{(((", 1))
    assert "the index" in error_of(lambda: open_prepared(made, "train"))
    np.save(path, np.zeros(len(table)))
    assert "no table of frames" in error_of(lambda: open_prepared(made, "train"))
