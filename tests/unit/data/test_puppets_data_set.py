"""The puppets of a config are drawn once, completely or not at all."""

import sys
from pathlib import Path
from typing import Any

import pytest
from ml_collections import ConfigDict

import data.puppets.data_set
from data.loader import open_dataset
from data.puppets.__main__ import main
from tests.helpers.clip_files import read_clips, small_config, write_data_set
from tpsm_jax.errors import InputError
from tpsm_jax.runtime.run_lock import only_writer


def puppets_config(root: Path) -> ConfigDict:
    config = small_config(root)
    config.dataset_params.puppets = ConfigDict({"clips": 3, "frames": 2, "size": 16})
    return config


def test_puppets_are_drawn_where_there_is_nothing(tmp_path: Path) -> None:
    root = tmp_path / "new" / "puppets"
    config = puppets_config(root)
    assert len(open_dataset(config).entries) == 3
    assert len(list(read_clips(config))) == 2
    assert [path.name for path in root.parent.iterdir()] == ["puppets"]
    assert oct(root.stat().st_mode & 0o777) == "0o755"
    drawn = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    open_dataset(config)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == drawn


def test_puppets_leave_a_folder_alone_that_is_there(tmp_path: Path) -> None:
    write_data_set(tmp_path)
    assert open_dataset(puppets_config(tmp_path)).entries[0][0].name == "clip0"


def test_puppets_drawn_with_other_numbers_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "puppets"
    config = puppets_config(root)
    open_dataset(config)
    assert (root / "puppets.json").read_text() == '{"clips": 3, "frames": 2, "size": 16}\n'
    for field in ("clips", "frames", "size"):
        other = puppets_config(root)
        other.dataset_params.puppets[field] += 1
        for use in (open_dataset, lambda config: list(read_clips(config))):
            with pytest.raises(
                InputError, match="delete it or choose another config.dataset.path"
            ) as raised:
                use(other)
            assert str(raised.value).startswith(f"{root} holds puppets of ")
            assert "\n" not in str(raised.value)
    (root / "puppets.json").write_text("\0\0")
    with pytest.raises(InputError, match="delete it"):
        open_dataset(config)


def test_puppets_whose_drawing_is_interrupted_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = data.puppets.data_set.clip_frames

    def interrupted(identity: int, motion: int, **numbers: int) -> Any:
        if motion == 2:
            raise KeyboardInterrupt
        return draw(identity, motion, **numbers)

    monkeypatch.setattr(data.puppets.data_set, "clip_frames", interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_dataset(puppets_config(tmp_path / "puppets"))
    assert list(tmp_path.iterdir()) == []


def test_puppets_that_another_process_drew_meanwhile_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = data.puppets.data_set.draw_clips

    def slower(output: Path, *arguments: Any, **numbers: int) -> int:
        write_data_set(tmp_path / "puppets")
        return draw(output, *arguments, **numbers)

    monkeypatch.setattr(data.puppets.data_set, "draw_clips", slower)
    dataset = open_dataset(puppets_config(tmp_path / "puppets"))
    assert dataset.entries[0][0].name == "clip0"
    assert [path.name for path in tmp_path.iterdir()] == ["puppets"]


def test_puppets_that_cannot_be_drawn_are_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot draw puppets into .*file/puppets"):
        open_dataset(puppets_config(tmp_path / "file" / "puppets"))
    config = puppets_config(tmp_path / "puppets")
    config.dataset_params.puppets.clips = 0
    with pytest.raises(InputError, match="clips and frames start at 1"):
        open_dataset(config)


@pytest.mark.parametrize("flag", ["--clips", "--frames", "--size"])
def test_a_wrong_number_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    output = tmp_path / "new" / "puppets"
    monkeypatch.setattr(sys, "argv", ["puppets", "--output", str(output), flag, "0"])
    with pytest.raises(InputError, match="clips and frames start at 1, size at 16 pixels"):
        main()
    assert list(tmp_path.iterdir()) == []


def test_a_split_that_another_run_draws_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(*flags: str) -> None:
        numbers = ["--clips", "2", "--frames", "2", "--size", "16"]
        monkeypatch.setattr(sys, "argv", ["puppets", "--output", str(tmp_path), *numbers, *flags])
        main()

    with only_writer(tmp_path / "train"):
        with pytest.raises(InputError, match=f"another run is writing {tmp_path}/train ") as raised:
            draw()
        assert "\n" not in str(raised.value)
        assert not (tmp_path / "train").exists()
        draw("--split", "test")
    draw()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["landmarks", "test", "train"]
