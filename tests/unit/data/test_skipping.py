"""A clip that cannot be read is named, and others may take its place: always the same ones."""

import os
import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from data.loader import ClipDataset, open_dataset
from tests.helpers.clip_files import small_config, write_data_set, write_folder, write_video
from tests.helpers.loader_batches import assert_equal, batches_of
from tests.helpers.prepare_files import prepare
from tpsm_jax.errors import InputError

COUNT = 10  # batches of 4


def opened(root: Path, skip_broken: int = 0, **fields: object) -> ClipDataset:
    config = small_config(root)
    config.skip_broken = skip_broken
    config.dataset.update(fields)
    return open_dataset(config)


def break_folder(root: Path) -> None:
    for picture in (root / "train" / "clip1").iterdir():
        picture.write_bytes(picture.read_bytes()[:40])


def break_video(root: Path) -> None:
    path = root / "train" / "clip3.mp4"
    path.write_bytes(path.read_bytes()[:40])


def remove_clip(root: Path) -> None:
    shutil.rmtree(root / "train" / "clip1")


@pytest.mark.parametrize(
    ("damage", "name"),
    [(break_folder, "clip1"), (break_video, "clip3.mp4"), (remove_clip, "clip1")],
)
def test_another_clip_takes_its_place(
    root: Path, damage: Callable[[Path], None], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_video(root / "train" / "clip3.mp4", 3, 3)
    whole = batches_of(opened(root), COUNT)
    dataset = opened(root, skip_broken=1)
    damage(root)  # in mid-run
    found = batches_of(dataset, COUNT, skip_broken=1)
    said = capsys.readouterr().err
    assert said.startswith("warning: ")
    assert f"other clips are taken in place of {name} (1 of --config.skip_broken=1)" in said
    assert said.count("\n") == 1
    for one, other in zip(found, whole, strict=True):
        assert one["skipped"] == other["name"].count(name)
        for row, was in enumerate(other["name"]):
            assert (one["name"][row] == was) == (was != name)
            if was != name:
                assert (one["source"][row] == other["source"][row]).all()
    assert len({n for one in found for n in one["name"]}) == 3  # not always the same neighbor

    # The same for any number of threads and processes, and from any step on.
    assert_equal(found, batches_of(dataset, COUNT, skip_broken=1, workers=1))
    assert_equal(found[3:], batches_of(dataset, COUNT - 3, skip_broken=1, start_step=3))
    shares = [
        batches_of(dataset, COUNT, skip_broken=1, process_index=p, process_count=2)
        for p in range(2)
    ]
    for batch, first, second in zip(found, *shares, strict=True):
        assert first["name"] + second["name"] == batch["name"]
        assert first["skipped"] + second["skipped"] == batch["skipped"]


def test_without_skip_broken_the_ways_on_are_named_and_one_is_another_file(root: Path) -> None:
    whole = batches_of(opened(root), COUNT)
    shutil.copytree(root / "train" / "clip1", root / "kept")
    break_folder(root)
    with pytest.raises(InputError, match=r"clip1/.*put another file in its place .* or pass over"):
        batches_of(opened(root), COUNT)
    shutil.rmtree(root / "train" / "clip1")
    os.rename(root / "kept", root / "train" / "clip1")
    assert_equal(batches_of(opened(root), COUNT), whole)


def test_one_more_than_said_is_an_error_at_the_same_place(root: Path) -> None:
    write_folder(root / "train" / "clip5", 5, 2)
    names = [name for batch in batches_of(opened(root), COUNT) for name in batch["name"]]
    break_folder(root)
    for picture in (root / "train" / "clip2").iterdir():
        picture.write_bytes(b"?")
    dataset = opened(root, skip_broken=1)
    for workers in (1, 4):
        with dataset.batches(
            batch_size=4, num_repeats=7, seed=1, skip_broken=1, workers=workers
        ) as batches:
            count = 0
            with pytest.raises(InputError, match=r"broken clip number 2, and .*skip_broken is 1"):
                for count, _ in enumerate(islice(batches, COUNT), 1):  # noqa: B007
                    pass
        first = max(names.index("clip1"), names.index("clip2")) // 4
        assert count <= first  # another clip in place of the one may have been the other
    assert all("clip1" not in b["name"] for b in batches_of(opened(root, 2), COUNT, skip_broken=2))


def test_clips_that_are_gone_when_a_run_begins(root: Path) -> None:
    """Their names keep their place in the order; without skip_broken it is one line."""
    shutil.rmtree(root / "train" / "clip1")
    (root / "train" / "clip1").mkdir()
    with pytest.raises(InputError, match="a folder without a picture"):
        opened(root)
    dataset = opened(root, skip_broken=1)
    assert len(dataset.entries) == 3
    assert all("clip1" not in b["name"] for b in batches_of(dataset, COUNT, skip_broken=1))


def test_all_clips_broken(root: Path) -> None:
    for clip in (root / "train").iterdir():
        for picture in clip.iterdir():
            picture.write_bytes(b"?")
    with pytest.raises(InputError, match="cannot read the picture"):
        batches_of(opened(root, 50), 1, skip_broken=50)


def test_the_place_is_taken_within_a_data_set_of_a_mixture(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_data_set(other)
    for clip in (other / "train").iterdir():
        clip.rename(clip.with_name(f"other_{clip.name}"))
    mixture = {"mix_paths": (str(other),), "mix_weights": (1, 1)}
    whole = batches_of(opened(root, **mixture), COUNT)
    break_folder(root)
    found = batches_of(opened(root, 1, **mixture), COUNT, skip_broken=1)
    for one, before in zip(found, whole, strict=True):
        assert "clip1" not in one["name"]
        shares = [[name.startswith("other_") for name in batch["name"]] for batch in (one, before)]
        assert shares[0] == shares[1]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["flip", "truncate", "remove"])
def test_a_prepared_data_set(raw: Path, tmp_path: Path, monkeypatch, how: str) -> None:
    assert prepare(monkeypatch, raw, tmp_path / "made") == 0
    dataset = opened(tmp_path / "made", 1)
    names = {clip.name: clip.path for clips in dataset.entries for clip in clips}
    (bad, path), *_ = names.items()
    if how == "remove":
        path.unlink()
    elif how == "truncate":
        os.truncate(path, 100)
    else:
        path.write_bytes(bytes(255 - byte for byte in path.read_bytes()))
    dataset = opened(tmp_path / "made", len(names))
    broken = {name for name in names if names[name] == path}
    assert broken < set(names)
    found = batches_of(dataset, COUNT, skip_broken=len(names))
    assert bad in broken
    assert not broken & {name for batch in found for name in batch["name"]}
    assert sum(batch["skipped"] for batch in found) > 0
    if how != "flip":
        with pytest.raises(InputError, match="copy it again|copy both|cannot|missing|has"):
            opened(tmp_path / "made")
