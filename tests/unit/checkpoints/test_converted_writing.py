"""Writing a checkpoint, with VGG-19 too, where something is already."""

import os
import shutil

import jax
import numpy as np
import pytest

from tests.helpers.converted_folders import assert_equal, contents
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
    def fail(path, tree):
        path.mkdir(exist_ok=True)
        (path / "half").write_text("written")
        raise OSError(28, "No space left on device")

    before = contents(folder)
    monkeypatch.setattr(checkpoints, "save_tree", fail)
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
    # Saving without it again keeps it.
    save_checkpoint(tmp_path / "checkpoint", variables, config)
    assert_equal(load_vgg19(tmp_path / "checkpoint"), VGG19)


def test_vgg19_added_to_a_checkpoint(folder, variables):
    before = contents(folder)
    save_vgg19(folder, VGG19)
    save_vgg19(folder, jax.tree.map(lambda x: x + 1, VGG19))
    assert_equal(load_vgg19(folder), jax.tree.map(lambda x: x + 1, VGG19))
    after = contents(folder)
    assert {name: after[name] for name in before} == before
    assert sorted(os.listdir(folder)) == ["config.json", "variables", "vgg19"]


def test_vgg19_alone(tmp_path):
    save_vgg19(tmp_path / "vgg", VGG19)
    assert_equal(load_vgg19(tmp_path / "vgg"), VGG19)


def test_no_vgg19(saved):
    with pytest.raises(InputError, match="--vgg19"):
        load_vgg19(saved)


def test_a_full_disk_is_reported_before_anything_is_written(tmp_path, monkeypatch, variables):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2**20))
    with pytest.raises(InputError, match=r"\d+ MiB are needed and 1 MiB are free"):
        save_checkpoint(tmp_path / "checkpoint", variables, {"model_params": model_params()})
    assert os.listdir(tmp_path) == []
