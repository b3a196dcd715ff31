"""The converter as a person runs it: what it prints, what it writes, how it fails."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import convert_torch_weights
from tests.helpers.converted_folders import write_run
from tests.helpers.paths import TORCH_FILES
from tests.helpers.processes import STRICT
from tests.helpers.small import draw_variables, model_params, official_params, small_model
from tests.unit.checkpoints.torch.test_names import vgg19_checkpoint
from tpsm_jax.checkpoints.converted import load_checkpoint
from tpsm_jax.checkpoints.torch import (
    read_torch_file,
    torch_from_variables,
    variables_from_torch,
    write_torch_file,
)
from tpsm_jax.checkpoints.vgg19 import load_vgg19
from tpsm_jax.cli import run_script

pytestmark = pytest.mark.slow  # Orbax

SCRIPT = Path(convert_torch_weights.__file__)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a small config, checkpoint.pth.tar, and weights of VGG-19."""
    folder = tmp_path_factory.mktemp("files")
    write_config(folder / "config.py", official_params())
    checkpoint = torch_from_variables(draw_variables(official_params()), official_params())
    write_torch_file(folder / "checkpoint.pth.tar", {**checkpoint, "epoch": 99})
    write_torch_file(folder / "vgg19.pth", vgg19_checkpoint())
    return folder


def write_config(path, params, image_size=(256, 256)):
    lines = [
        "from configs.base import get_base_config",
        "def get_config():",
        "    config = get_base_config()",
        f"    config.image_size = {image_size}",
        f"    config.model_params = {params}",
        "    return config",
    ]
    path.write_text("\n".join(lines))


def convert(monkeypatch, *arguments):
    """Runs the script in this process; returns its exit code."""
    monkeypatch.setattr(sys, "argv", ["convert_torch_weights.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        run_script(convert_torch_weights.main)
    return exit_.value.code


def assert_fails(monkeypatch, capsys, words, *arguments):
    """Exit code 2, and one line that says `words`."""
    assert convert(monkeypatch, *arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert words in printed.err
    assert "wrote" not in printed.out


def arguments(files, output, **changes):
    given = {"checkpoint": files / "checkpoint.pth.tar", "config": files / "config.py"}
    given = {**given, "output": output, **changes}
    return [part for name, value in given.items() for part in (f"--{name}", value)]


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


# What cannot be converted.


def bad_file(folder, kind):
    path = folder / "bad.pth.tar"
    good = (TORCH_FILES / "training_zip.pth").read_bytes()
    contents = {
        "empty": b"",
        "truncated": good[: len(good) // 2],
        "corrupt": good.replace(b"fg", b"gf").replace(b"weight", b"thgiew"),
        "picture": b"\x89PNG\r\n\x1a\n" + bytes(64),
        "page": b"<html>Sign in</html>",
        "hostile": pickle.dumps(Hostile(folder / "ran"), protocol=2),
        "other": good,
    }
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes(contents[kind])
    return path


class Hostile:
    def __init__(self, path):
        self.command = f"touch {path}"

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("flag", ["checkpoint", "vgg19"])
@pytest.mark.parametrize(
    "kind",
    ["empty", "truncated", "corrupt", "picture", "page", "hostile", "other", "folder", "missing"],
)
def test_bad_files(files, tmp_path, monkeypatch, capsys, kind, flag):
    (tmp_path / "vox").mkdir()
    bad = bad_file(tmp_path, kind)
    before = sorted(os.listdir(tmp_path))
    changed = arguments(files, tmp_path / "vox", **{flag: bad})
    assert_fails(monkeypatch, capsys, str(bad), *changed)
    assert sorted(os.listdir(tmp_path)) == before
    assert os.listdir(tmp_path / "vox") == []


def test_bad_file_keeps_the_checkpoint_that_is_there(files, tmp_path, monkeypatch, capsys):
    assert convert(monkeypatch, *arguments(files, tmp_path / "vox")) == 0
    capsys.readouterr()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    bad = files / "vgg19.pth"
    changed = arguments(files, tmp_path / "vox", checkpoint=bad)
    assert_fails(monkeypatch, capsys, "has no dense_motion_network", *changed)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_another_config(files, tmp_path, monkeypatch, capsys):
    write_config(tmp_path / "other.py", official_params(num_tps=3))
    changed = arguments(files, tmp_path / "vox", config=tmp_path / "other.py")
    words = "num_tps is 2 in the checkpoint and 3 in the config"
    assert_fails(monkeypatch, capsys, words, *changed)
    assert not (tmp_path / "vox").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "there is no config"),
        ("", "AttributeError"),
        ("def get_config(:", "SyntaxError"),
        ("import nothing_of_this_name", "ModuleNotFoundError"),
        ("def get_config(): return {}", "KeyError"),
        ("def get_config(): return 3", "TypeError"),
        ("def get_config(): raise RuntimeError('two\\nlines')", "two lines"),
    ],
)
def test_bad_config(files, tmp_path, monkeypatch, capsys, text, words):
    config = tmp_path / "config.py"
    if text is not None:
        config.write_text(text)
    changed = arguments(files, tmp_path / "vox", config=config)
    assert_fails(monkeypatch, capsys, words, *changed)
    assert not (tmp_path / "vox").exists()


def test_the_family_may_be_named(files, tmp_path, monkeypatch, capsys):
    write_config(tmp_path / "named.py", {"family": "tpsm", **official_params()})
    changed = arguments(files, tmp_path / "named", config=tmp_path / "named.py")
    assert convert(monkeypatch, *changed) == 0
    assert convert(monkeypatch, *arguments(files, tmp_path / "plain")) == 0
    named, plain = load_checkpoint(tmp_path / "named"), load_checkpoint(tmp_path / "plain")
    assert named.model == plain.model
    jax.tree.map(np.testing.assert_array_equal, named.variables, plain.variables)


def test_a_family_that_does_not_exist(files, tmp_path, monkeypatch, capsys):
    write_config(tmp_path / "other.py", {**official_params(), "family": "monkeynet"})
    changed = arguments(files, tmp_path / "vox", config=tmp_path / "other.py")
    words = "other.py: model_params.family is tpsm, not 'monkeynet'"
    assert_fails(monkeypatch, capsys, words, *changed)
    assert not (tmp_path / "vox").exists()


def test_config_that_is_no_python(files, tmp_path, monkeypatch, capsys):
    (tmp_path / "vox-256.yaml").write_text("model_params: {}")
    changed = arguments(files, tmp_path / "vox", config=tmp_path / "vox-256.yaml")
    assert_fails(monkeypatch, capsys, "not a Python file", *changed)


def test_output_that_holds_other_things(files, tmp_path, monkeypatch, capsys):
    (tmp_path / "notes.txt").write_text("keep")
    assert_fails(monkeypatch, capsys, "other things", *arguments(files, tmp_path))
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_to_torch_errors(files, tmp_path, monkeypatch, capsys):
    output = tmp_path / "x.pth.tar"
    for folder in (tmp_path / "nothing", files, files / "checkpoint.pth.tar"):
        assert_fails(monkeypatch, capsys, str(folder), "--to_torch", folder, "--output", output)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["--output", "x"],
        ["--output", "x", "--checkpoint", "y"],
        ["--output", "x", "--config", "y", "--vgg19", "z"],
        ["--output", "x", "--to_torch", "y", "--vgg19", "z"],
        ["--output", "x", "--vgg19", "z", "--step", "best"],
        ["--checkpoint", "x", "--config", "y"],
    ],
)
def test_flags_that_do_not_go_together(monkeypatch, capsys, given):
    assert convert(monkeypatch, *given) == 2
    assert "error: " in capsys.readouterr().err


def test_as_a_command(files, tmp_path):
    # From another folder, and with warnings as errors: nothing else may appear on stderr.
    command = [sys.executable, *STRICT, SCRIPT]
    done = subprocess.run(
        [*command, *arguments(files, "vox")], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("wrote vox\n")
    hostile = bad_file(tmp_path, "hostile")
    done = subprocess.run(
        [*command, *arguments(files, "other", checkpoint=hostile)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {hostile}: refused: it asks for {os.name}.system")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "other").exists()
    assert not (tmp_path / "ran").exists()
