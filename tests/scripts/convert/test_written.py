"""What the converter writes and prints, in both directions."""

import argparse
import collections

import jax
import numpy as np
import pytest

from tests.helpers.convert_script import arguments, assert_fails, convert, write_config
from tests.helpers.converted_folders import write_run
from tests.helpers.small import model_params, official_params, small_model
from tests.helpers.torch_files import add_objects
from tpsm_jax.checkpoints.converted import load_checkpoint
from tpsm_jax.checkpoints.torch import read_torch_file, variables_from_torch, write_torch_file
from tpsm_jax.checkpoints.vgg19 import load_vgg19

pytestmark = pytest.mark.slow  # Orbax


def test_converts(files, tmp_path, monkeypatch, capsys):
    assert convert(monkeypatch, *arguments(files, tmp_path / "new" / "vox")) == 0
    printed = capsys.readouterr()
    assert "saved after epoch 99" in printed.out
    assert "kp_detector: 122 tensors, 11.20 M numbers" in printed.out
    assert "no " not in printed.out
    assert printed.err == ""
    loaded = load_checkpoint(tmp_path / "new" / "vox")
    assert loaded.config.image_size == [256, 256]
    assert loaded.config.train_params.num_epochs == 100
    expected, _ = variables_from_torch(
        read_torch_file(files / "checkpoint.pth.tar"), official_params()
    )
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, expected)


def test_there_and_back(files, tmp_path, monkeypatch, capsys):
    assert convert(monkeypatch, *arguments(files, tmp_path / "vox")) == 0
    back = tmp_path / "back.pth.tar"
    assert convert(monkeypatch, "--to_torch", tmp_path / "vox", "--output", back) == 0
    assert f"wrote {back}: avd_network, bg_predictor" in capsys.readouterr().out
    before, after = read_torch_file(files / "checkpoint.pth.tar"), read_torch_file(back)
    assert before.keys() == {*after, "epoch"}
    for network, state in after.items():
        assert state.keys() == before[network].keys()
        for key, array in state.items():
            assert array.dtype == before[network][key].dtype
            assert array.tobytes() == before[network][key].tobytes(), key


@pytest.mark.parametrize(("step", "factor"), [(None, 2), ("best", 1)])
def test_a_step_of_a_training_run(tmp_path, monkeypatch, capsys, step, factor):
    run = write_run(tmp_path / "run", small_model()[1], {3: 0.5, 6: 1.0})
    back = tmp_path / "back.pth.tar"
    given = [] if step is None else ["--step", step]
    assert convert(monkeypatch, "--to_torch", run, "--output", back, *given) == 0
    variables, _ = variables_from_torch(read_torch_file(back), model_params())
    expected = jax.tree.map(lambda x: factor * x, small_model()[1])
    jax.tree.map(np.testing.assert_array_equal, variables, expected)


@pytest.mark.parametrize("step", ["7", "last"])
def test_a_step_that_is_not_there(tmp_path, monkeypatch, capsys, step):
    run = write_run(tmp_path / "run", small_model()[1], {3: 0.5})
    output = tmp_path / "x.pth.tar"
    given = ("--to_torch", run, "--output", output, "--step", step)
    assert_fails(monkeypatch, capsys, step, *given)
    assert not output.exists()


def test_absent_networks_are_explained(files, tmp_path, monkeypatch, capsys):
    tree = read_torch_file(files / "checkpoint.pth.tar")
    del tree["avd_network"], tree["bg_predictor"], tree["epoch"]
    weight = tree["kp_detector"]["fg_encoder.fc.bias"].copy()
    weight[3] = np.nan
    tree["kp_detector"]["fg_encoder.fc.bias"] = weight
    tree["optimizer"], tree["discriminator"] = {}, {}
    write_torch_file(tmp_path / "few.pth", tree)
    changed = arguments(files, tmp_path / "vox", checkpoint=tmp_path / "few.pth")
    assert convert(monkeypatch, *changed) == 0
    printed = capsys.readouterr()
    assert "no avd_network: animate.py --mode avd is not available" in printed.out
    assert "no bg_predictor: animation does not use it" in printed.out
    assert "ignored discriminator" in printed.out
    assert "optimizer" not in printed.out
    assert printed.err == "warning: NaN or infinite numbers in kp_detector.fg_encoder.fc.bias\n"


def test_objects_beside_the_weights(files, tmp_path, monkeypatch, capsys):
    objects = {
        "best_loss": np.float64(0.25),
        "scheduler": {"milestones": collections.Counter([60, 90]), "last_epoch": 99},
        "args": argparse.Namespace(config="vox-256.yaml"),
    }
    given = add_objects(files / "checkpoint.pth.tar", tmp_path / "own.pth", objects)
    assert convert(monkeypatch, *arguments(files, tmp_path / "own", checkpoint=given)) == 0
    printed = capsys.readouterr()
    assert (
        "  ignored best_loss (numpy._core.multiarray.scalar), scheduler (collections.Counter), "
        "args (argparse.Namespace): the config has no such network\n"
    ) in printed.out
    assert "saved after epoch 99" in printed.out
    assert printed.err == ""
    expected, _ = variables_from_torch(
        read_torch_file(files / "checkpoint.pth.tar"), official_params()
    )
    loaded = load_checkpoint(tmp_path / "own").variables
    jax.tree.map(np.testing.assert_array_equal, loaded, expected)


def test_networks_in_an_entry(files, tmp_path, monkeypatch, capsys):
    tree = read_torch_file(files / "checkpoint.pth.tar")
    epoch = tree.pop("epoch")
    write_torch_file(tmp_path / "own.pth", {"epoch": epoch, "state_dict": tree})
    changed = arguments(files, tmp_path / "own", checkpoint=tmp_path / "own.pth")
    assert convert(monkeypatch, *changed) == 0
    printed = capsys.readouterr()
    assert "saved after epoch 99\n  the networks are in its entry state_dict\n" in printed.out
    assert "ignored" not in printed.out


def test_objects_beside_vgg19(files, tmp_path, monkeypatch, capsys):
    given = add_objects(files / "vgg19.pth", tmp_path / "own.pth", {"args": argparse.Namespace()})
    assert convert(monkeypatch, "--vgg19", given, "--output", tmp_path / "vgg19") == 0
    assert "  ignored args (argparse.Namespace): no weights of VGG-19\n" in capsys.readouterr().out
    load_vgg19(tmp_path / "vgg19")


def test_vgg19(files, tmp_path, monkeypatch, capsys):
    vgg19 = ("--vgg19", files / "vgg19.pth", "--output", tmp_path / "vox")
    assert convert(monkeypatch, *vgg19) == 0
    assert "VGG-19 up to relu5_1, 26 tensors, 12.94 M numbers" in capsys.readouterr().out
    load_vgg19(tmp_path / "vox")
    # A checkpoint put there later keeps it, and one with it replaces it.
    assert convert(monkeypatch, *arguments(files, tmp_path / "vox")) == 0
    load_vgg19(tmp_path / "vox")
    changed = arguments(files, tmp_path / "both", vgg19=files / "vgg19.pth")
    assert convert(monkeypatch, *changed) == 0
    load_vgg19(tmp_path / "both")
    load_checkpoint(tmp_path / "both")


def test_the_family_may_be_named(files, tmp_path, monkeypatch, capsys):
    write_config(tmp_path / "named.py", {"family": "tpsm", **official_params()})
    changed = arguments(files, tmp_path / "named", config=tmp_path / "named.py")
    assert convert(monkeypatch, *changed) == 0
    assert convert(monkeypatch, *arguments(files, tmp_path / "plain")) == 0
    named, plain = load_checkpoint(tmp_path / "named"), load_checkpoint(tmp_path / "plain")
    assert named.model == plain.model
    jax.tree.map(np.testing.assert_array_equal, named.variables, plain.variables)
