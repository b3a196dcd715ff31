"""A training run becomes a checkpoint folder to hand on, and an older folder one of today."""

import os

import jax
import numpy as np
import pytest

from tests.helpers.convert_script import assert_fails, convert
from tests.helpers.converted_folders import assert_equal, contents, write_older, write_run
from tests.helpers.small import model_params, small_model
from tpsm_jax.checkpoints.converted import load_checkpoint
from tpsm_jax.checkpoints.orbax_io import save_tree
from tpsm_jax.checkpoints.vgg19 import load_vgg19

pytestmark = pytest.mark.slow  # Orbax

VGG19 = {"params": {"features_0": {"bias": np.arange(4, dtype=np.float32)}}}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of steps 3 and 6, of which the second has averaged parameters."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    write_run(folder, small_model()[1], {3: 0.5, 6: 1.0})
    averaged = jax.tree.map(lambda x: x + 1, small_model()[1]["params"])
    save_tree(folder / "checkpoints" / "6" / "ema_params", averaged)
    return folder


@pytest.mark.parametrize(
    ("step", "number"), [("", 6), ("@latest", 6), ("@6", 6), ("@best", 3), ("@3", 3)]
)
def test_a_step(tmp_path, monkeypatch, capsys, run, step, number):
    given = ("--from_run", f"{run}{step}", "--output", tmp_path / "new" / "mine")
    assert convert(monkeypatch, *given) == 0
    printed = capsys.readouterr()
    begin = f"{run}: step {number}, avd_network, bg_predictor, dense_motion_network, "
    assert printed.out.startswith(begin)
    assert printed.out.endswith(f"wrote {tmp_path / 'new' / 'mine'}\n")
    assert printed.err == ""
    assert sorted(os.listdir(tmp_path / "new" / "mine")) == ["config.json", "model.safetensors"]
    found, expected = load_checkpoint(tmp_path / "new" / "mine"), load_checkpoint(run, step=number)
    assert_equal(found.variables, expected.variables)
    assert found.config.to_dict() == expected.config.to_dict()
    if number == 6:
        averaged = jax.tree.map(lambda x: x + 1, small_model()[1]["params"])
        assert_equal(found.variables["params"], averaged)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_a_type(tmp_path, monkeypatch, run, dtype):
    for name, flags in {"mine": ("--dtype", dtype), "plain": ()}.items():
        given = ("--from_run", f"{run}@3", "--output", tmp_path / name, *flags)
        assert convert(monkeypatch, *given) == 0
    sizes = [(tmp_path / x / "model.safetensors").stat().st_size for x in ("mine", "plain")]
    assert sizes[0] == pytest.approx(sizes[1] / (1 if dtype == "float32" else 2), rel=0.1)
    found = load_checkpoint(tmp_path / "mine").variables
    expected = jax.tree.map(
        lambda x: np.asarray(x.astype(dtype).astype(np.float32)), load_checkpoint(run, step=3)[2]
    )
    assert_equal(found, expected)


def test_an_older_folder_is_written_again(files, tmp_path, monkeypatch, capsys):
    config = {"image_size": [64, 64], "model_params": model_params()}
    older = write_older(tmp_path / "older", small_model()[1], config, VGG19)
    # Into another folder, with weights of VGG-19, and in its own place, where its own are kept.
    given = ("--from_run", older, "--vgg19", files / "vgg19.pth", "--output", tmp_path / "new")
    assert convert(monkeypatch, *given) == 0
    assert convert(monkeypatch, "--from_run", older, "--output", older) == 0
    assert f"{older}: avd_network, bg_predictor" in capsys.readouterr().out
    names = ["config.json", "model.safetensors", "vgg19.safetensors"]
    for folder in (older, tmp_path / "new"):
        assert sorted(os.listdir(folder)) == names
        assert_equal(load_checkpoint(folder).variables, small_model()[1])
    assert_equal(load_vgg19(older), VGG19)
    assert len(load_vgg19(tmp_path / "new")["params"]) > 10
    assert_fails(
        monkeypatch, capsys, "no steps to choose of",
        "--from_run", f"{older}@best", "--output", tmp_path / "x",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("{run}@7", "has no checkpoint of step 7, only of 3, 6"),
        ("{run}@", "step '' is neither a number nor"),
        ("{run}@last", "step 'last' is neither a number nor"),
        ("{run}/checkpoints", "is not a checkpoint"),
        ("nowhere", "there is no checkpoint nowhere"),
        ("nowhere@best", "there is no checkpoint nowhere"),
        ("gs://bucket/run", "is a URL"),
    ],
)
def test_what_is_no_step(tmp_path, monkeypatch, capsys, run, given, words):
    given = ("--from_run", given.format(run=run), "--output", tmp_path / "mine")
    assert_fails(monkeypatch, capsys, words, *given)
    assert os.listdir(tmp_path) == []


def test_a_run_is_no_output(monkeypatch, capsys, run):
    before = contents(run)
    given = ("--from_run", run, "--output", run)
    assert_fails(monkeypatch, capsys, "holds other things than a checkpoint", *given)
    assert contents(run) == before


def test_numbers_too_large(tmp_path, monkeypatch, capsys):
    huge = jax.tree.map(lambda x: x * np.float32(1e6), small_model()[1])
    run = write_run(tmp_path / "run", huge, {3: 0.5})
    given = ("--from_run", run, "--dtype", "float16", "--output", tmp_path / "mine")
    assert_fails(monkeypatch, capsys, "holds numbers that are too large for float16", *given)
    assert os.listdir(tmp_path) == ["run"]
