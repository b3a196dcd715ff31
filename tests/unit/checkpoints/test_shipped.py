"""The name of a model that comes with the package, in place of a folder."""

import shutil
from pathlib import Path

import pytest

from tests.helpers.small import draw_variables
from tests.helpers.tiny_training import tiny_config
from tpsm_jax.checkpoints import shipped
from tpsm_jax.checkpoints.converted import load_checkpoint, save_checkpoint, stored_config
from tpsm_jax.checkpoints.shipped import checkpoint_folder
from tpsm_jax.checkpoints.steps import split_step
from tpsm_jax.errors import InputError
from tpsm_jax.evaluation.checkpoints import choose_checkpoints

NAME = "puppets"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small model in the place of the shipped one; tests start in another folder."""
    config = tiny_config()
    place = tmp_path / "package" / NAME
    place.parent.mkdir()
    save_checkpoint(place, draw_variables(config.model_params), config)
    monkeypatch.setattr(shipped, "FOLDER", place.parent)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return place


def test_wherever_a_checkpoint_is_read(folder: Path) -> None:
    assert load_checkpoint(NAME).config.image_size == stored_config(NAME).image_size == [32, 32]
    assert split_step(NAME) == (folder, None)
    (chosen,) = choose_checkpoints([NAME])
    assert (chosen.name, chosen.folder, chosen.step) == (NAME, folder, None)


def test_a_folder_of_that_name_comes_first(folder: Path) -> None:
    here = Path(NAME)
    shutil.copytree(folder, here)
    assert checkpoint_folder(NAME) == here
    assert choose_checkpoints([NAME])[0].folder == here
    shutil.rmtree(here)
    here.mkdir()
    with pytest.raises(InputError, match="puppets is not a checkpoint"):
        load_checkpoint(NAME)


@pytest.mark.parametrize("other", ["./puppets", "puppets/x", "Puppets", "x"])
def test_any_other_name_is_a_path(folder: Path, other: str) -> None:
    path = checkpoint_folder(other)
    assert path == (folder if other == "./puppets" else Path(other))


@pytest.mark.parametrize("part", ["config.json", "model.safetensors"])
def test_a_model_that_is_not_there(folder: Path, part: str) -> None:
    (folder / part).unlink()
    for use in (load_checkpoint, stored_config, lambda name: choose_checkpoints([name])):
        with pytest.raises(InputError, match=f"has no {part}: install tpsm_jax again"):
            use(NAME)


def test_a_model_that_is_damaged(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="model.safetensors is damaged"):
        load_checkpoint(NAME)
