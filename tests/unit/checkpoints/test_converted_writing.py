"""Writing a checkpoint, with VGG-19 too, where something is already."""

import os
import shutil

import jax
import numpy as np
import pytest

from tests.helpers.converted_folders import assert_equal, contents, write_older
from tests.helpers.small import model_params
from tpsm_jax.checkpoints import converted as checkpoints
from tpsm_jax.checkpoints.converted import load_checkpoint, save_checkpoint
from tpsm_jax.checkpoints.vgg19 import load_vgg19, save_vgg19
from tpsm_jax.errors import InputError

pytestmark = pytest.mark.slow  # Orbax

VGG19 = {"params": {"features_0": {"bias": np.arange(4, dtype=np.float32)}}}


def test_replaces_a_checkpoint(folder, variables, config):
    doubled = jax.tree.map(lambda x: 2 * x, variables)
    save_checkpoint(folder, doubled, config)
    assert_equal(load_checkpoint(folder).variables, doubled)
    assert os.listdir(folder.parent) == [folder.name]


def test_takes_an_empty_folder(tmp_path, variables, config):
    save_checkpoint(tmp_path, variables, config)
    assert_equal(load_checkpoint(tmp_path).variables, variables)


@pytest.mark.parametrize("save", [save_checkpoint, save_vgg19])
def test_leaves_other_folders_alone(tmp_path, variables, config, save):
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "config.json").write_text("{}")
    before = contents(tmp_path)
    with pytest.raises(InputError, match="other things"):
        save(tmp_path, *((variables, config) if save is save_checkpoint else (VGG19,)))
    assert contents(tmp_path) == before


def test_a_file_is_no_folder(tmp_path, variables, config):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "checkpoint"):
        with pytest.raises(InputError, match="file"):
            save_checkpoint(path, variables, config)


def test_failing_while_writing_keeps_the_old_one(folder, variables, config, monkeypatch):
    def fail(path, tree, dtype):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    before = contents(folder)
    monkeypatch.setattr(checkpoints, "save_tensors", fail)
    with pytest.raises(InputError, match="No space left"):
        save_checkpoint(folder, variables, config)
    assert contents(folder) == before
    assert os.listdir(folder.parent) == [folder.name]


def test_failing_in_the_exchange_keeps_the_old_one(folder, variables, config, monkeypatch):
    before = contents(folder)
    rename = os.rename

    def fail_to_move_in(source, target):
        if target == folder and ".partial-" in str(source):
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_to_move_in)
    with pytest.raises(InputError, match="Input/output error"):
        save_checkpoint(folder, variables, config)
    monkeypatch.undo()
    assert contents(folder) == before
    assert os.listdir(folder.parent) == [folder.name]


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_interrupted_exchange(folder, variables, config, monkeypatch, interruption, moved):
    before = contents(folder)
    rename = os.rename

    def interrupt(source, target):
        if target == folder and ".partial-" in str(source):
            if moved:
                rename(source, target)
            monkeypatch.undo()
            raise interruption
        rename(source, target)

    monkeypatch.setattr(os, "rename", interrupt)
    with pytest.raises(interruption):
        save_checkpoint(folder, jax.tree.map(lambda x: 2 * x, variables), config)
    assert (contents(folder) == before) is not moved
    load_checkpoint(folder)
    assert os.listdir(folder.parent) == [folder.name]


@pytest.mark.parametrize("save", [save_checkpoint, save_vgg19])
def test_a_link_to_a_checkpoint_stays_one(tmp_path, folder, variables, config, save):
    link = tmp_path / "links" / "best"
    link.parent.mkdir()
    link.symlink_to(folder)
    save(link, *((variables, config) if save is save_checkpoint else (VGG19,)))
    assert link.is_symlink()
    assert os.listdir(link.parent) == ["best"]
    assert_equal(load_checkpoint(folder).variables, variables)


def test_interrupted_exchange_is_reported(folder):
    old = folder.with_name(f".{folder.name}.old-0123")
    folder.rename(old)
    with pytest.raises(InputError, match=str(old)):
        load_checkpoint(folder)


def test_vgg19_with_a_checkpoint(tmp_path, variables, config):
    save_checkpoint(tmp_path / "checkpoint", variables, config, vgg19=VGG19)
    assert_equal(load_vgg19(tmp_path / "checkpoint"), VGG19)
    before = (tmp_path / "checkpoint" / "vgg19.safetensors").read_bytes()
    # Saving without it again keeps it.
    save_checkpoint(tmp_path / "checkpoint", variables, config, dtype="bfloat16")
    assert_equal(load_vgg19(tmp_path / "checkpoint"), VGG19)
    assert (tmp_path / "checkpoint" / "vgg19.safetensors").read_bytes() == before


def test_vgg19_added_to_a_checkpoint(folder, variables):
    before = contents(folder)
    save_vgg19(folder, VGG19)
    save_vgg19(folder, jax.tree.map(lambda x: x + 1, VGG19))
    assert_equal(load_vgg19(folder), jax.tree.map(lambda x: x + 1, VGG19))
    after = contents(folder)
    assert {name: after[name] for name in before} == before
    assert sorted(os.listdir(folder)) == ["config.json", "model.safetensors", "vgg19.safetensors"]


def test_vgg19_alone(tmp_path):
    save_vgg19(tmp_path / "vgg", VGG19)
    assert_equal(load_vgg19(tmp_path / "vgg"), VGG19)


@pytest.mark.parametrize("alone", [False, True])
def test_vgg19_stored_in_another_type(tmp_path, variables, config, alone):
    rough = jax.tree.map(lambda x: x + np.float32(2**-20), VGG19)
    if alone:
        save_vgg19(tmp_path / "x", rough, dtype="float16")
    else:
        save_checkpoint(tmp_path / "x", variables, config, vgg19=rough, dtype="float16")
    found = load_vgg19(tmp_path / "x")["params"]["features_0"]["bias"]
    np.testing.assert_array_equal(found, np.float32([2**-20, 1, 2, 3]), strict=True)


@pytest.fixture
def older(tmp_path, variables):
    """What older versions wrote, with VGG-19."""
    config = {"model_params": model_params()}
    return write_older(tmp_path / "older", variables, config, VGG19)


def test_an_older_one_is_replaced_and_its_vgg19_kept(older, variables, config):
    doubled = jax.tree.map(lambda x: 2 * x, variables)
    save_checkpoint(older, doubled, config)
    assert sorted(os.listdir(older)) == ["config.json", "model.safetensors", "vgg19.safetensors"]
    assert_equal(load_checkpoint(older).variables, doubled)
    assert_equal(load_vgg19(older), VGG19)


def test_an_older_one_whose_vgg19_is_damaged_is_left_as_it_was(older, variables, config):
    for path in (older / "vgg19").glob("*METADATA"):
        path.write_text("{")
    before = contents(older)
    with pytest.raises(InputError, match="vgg19 is damaged"):
        save_checkpoint(older, variables, config)
    assert contents(older) == before
    save_checkpoint(older, variables, config, vgg19=VGG19)
    assert_equal(load_vgg19(older), VGG19)


def test_vgg19_of_an_older_one_is_read_and_replaced(older, variables):
    assert_equal(load_vgg19(older), VGG19)
    doubled = jax.tree.map(lambda x: 2 * x, VGG19)
    save_vgg19(older, doubled)
    assert sorted(os.listdir(older)) == ["config.json", "variables", "vgg19.safetensors"]
    assert_equal(load_vgg19(older), doubled)
    assert_equal(load_checkpoint(older).variables, variables)


def test_an_interrupted_save_of_vgg19_over_an_older_one(older, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_vgg19(older, jax.tree.map(lambda x: 2 * x, VGG19))
    assert sorted(name for name in os.listdir(older) if "vgg" in name) == [
        "vgg19",
        "vgg19.safetensors",
    ]
    assert_equal(load_vgg19(older), jax.tree.map(lambda x: 2 * x, VGG19))


def test_failing_while_writing_vgg19_keeps_the_old_one(folder, monkeypatch):
    save_vgg19(folder, VGG19)
    before = contents(folder)
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
    with pytest.raises(InputError, match=r"vgg19.safetensors cannot be written: 0 MiB are needed"):
        save_vgg19(folder, VGG19)
    assert contents(folder) == before


def test_a_damaged_vgg19(tmp_path):
    save_vgg19(tmp_path / "vgg", VGG19)
    path = tmp_path / "vgg" / "vgg19.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError) as error:
        load_vgg19(tmp_path / "vgg")
    assert str(error.value).startswith(f"{path} is damaged: ")


@pytest.mark.parametrize("instead", ["a folder", "a link to nothing"])
def test_no_file_of_vgg19(tmp_path, instead):
    save_vgg19(tmp_path / "vgg", VGG19)
    path = tmp_path / "vgg" / "vgg19.safetensors"
    path.unlink()
    path.mkdir() if instead == "a folder" else path.symlink_to("nothing")
    with pytest.raises(InputError, match="has no VGG-19 weights"):
        load_vgg19(tmp_path / "vgg")


def test_others_may_read_what_is_written(folder):
    plain = folder / "plain"
    plain.touch()
    for name in ("config.json", "model.safetensors"):
        assert (folder / name).stat().st_mode == plain.stat().st_mode


def test_no_vgg19(saved):
    with pytest.raises(InputError, match="--vgg19"):
        load_vgg19(saved)


def test_a_full_disk_is_reported_before_anything_is_written(tmp_path, monkeypatch, variables):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2**20))
    with pytest.raises(InputError, match=r"\d+ MiB are needed and 1 MiB are free"):
        save_checkpoint(tmp_path / "checkpoint", variables, {"model_params": model_params()})
    assert os.listdir(tmp_path) == []
