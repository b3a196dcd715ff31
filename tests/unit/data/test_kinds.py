"""A new kind of clip is a class, and a new kind of root an entry of a list."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import data.clips
import data.roots
from data.clip import Clip
from data.clips import FolderClip
from data.evaluation_set import clips_for_test, pairs_of_clips, split_note
from data.folder import find_clips
from data.loader import open_dataset
from data.roots import RootKind
from detectors.table import find_clips as find_clips_of_table
from tests.helpers.clip_files import SIZE, frame, label, small_config, write_folder


class ArrayClip(Clip):
    """Frames in a file of NumPy's."""

    suffixes = frozenset((".npy",))

    def frames(self) -> Iterator[np.ndarray]:
        return iter(np.load(self.path))


def test_a_new_kind_of_clip_is_found_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data.clips, "CLIP_KINDS", (*data.clips.CLIP_KINDS, ArrayClip))
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        np.save(tmp_path / split / "id3#a.npy", [frame(3, index) for index in range(5)])
    (clip,) = find_clips(tmp_path, "train", image_size=(SIZE, SIZE))
    assert isinstance(clip, ArrayClip)
    assert clip.identity == "id3"
    assert [label(picture) for picture in clip.pair(0.5, 0.0)] == [(3, 0), (3, 2)]
    config = small_config(tmp_path)
    with open_dataset(config).batches(batch_size=1, num_repeats=2, seed=0) as batches:
        assert label(next(batches)["source"][0])[0] == 3
    assert [clip.name for clip in clips_for_test(config)] == ["id3#a.npy"]
    assert isinstance(find_clips_of_table(tmp_path, (SIZE, SIZE))[0], ArrayClip)
    (pair,) = pairs_of_clips(config, [("id3#a", "id3#a.npy")])  # named without its suffix, and with
    assert pair.name == "id3#a.npy--id3#a.npy"


def test_a_new_kind_of_root_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        write_folder(tmp_path / "clips" / f"clip{number}", number, 2)
    listed = tmp_path / "set" / "list.txt"
    listed.parent.mkdir()
    listed.write_text("train clip0\ntrain clip1\ntest clip2\n")
    kind = RootKind(
        "list of clips",
        lambda path, _: (path / "list.txt").is_file(),
        lambda path, split, _: [
            FolderClip(path.parent / "clips" / line.split()[1])
            for line in (path / "list.txt").read_text().splitlines()
            if line.split()[0] == split
        ],
    )
    monkeypatch.setattr(data.roots, "ROOT_KINDS", (kind, *data.roots.ROOT_KINDS))
    config = small_config(listed.parent)
    config.dataset.mix_paths = (str(tmp_path / "clips"),)
    config.dataset.mix_weights = (1, 1)
    dataset = open_dataset(config)
    assert dataset.describe().splitlines() == [
        f"{listed.parent}: list of clips, 2 clips, 50.0% of the samples",
        f"{tmp_path}/clips: folder of clips, 3 clips, 50.0% of the samples",
    ]
    assert [clip.name for clip in clips_for_test(config)] == ["clip2"]
    assert [clip.name for clip in find_clips_of_table(listed.parent, (SIZE, SIZE))] == ["clip2"]
    assert split_note(listed.parent) == ""
    assert split_note(tmp_path / "clips") != ""
