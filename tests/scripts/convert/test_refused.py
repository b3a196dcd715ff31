"""What cannot be converted ends with one line and leaves nothing behind."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import convert_torch_weights
from tests.helpers.convert_script import arguments, assert_fails, convert, write_config
from tests.helpers.paths import TORCH_FILES
from tests.helpers.processes import STRICT
from tests.helpers.small import draw_variables, official_params
from tests.helpers.tiny_training import tiny_config
from tpsm_jax.checkpoints.converted import save_checkpoint
from tpsm_jax.errors import InputError
from tpsm_jax.runtime.run_lock import only_writer

pytestmark = pytest.mark.slow  # Orbax

SCRIPT = Path(convert_torch_weights.__file__)


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


def test_a_second_run_of_one_output(files, tmp_path, monkeypatch, capsys):
    for place, given in (
        (tmp_path / "vox", arguments(files, tmp_path / "vox")),
        (tmp_path / "vox", ["--vgg19", files / "vgg19.pth", "--output", tmp_path / "vox"]),
    ):
        with only_writer(place):
            assert_fails(monkeypatch, capsys, f"another run is writing {place} (", *given)
    assert os.listdir(tmp_path) == []


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
        ["--output", "x", "--from_run", "y", "--step", "best"],
        ["--output", "x", "--from_run", "y", "--to_torch", "z"],
        ["--output", "x", "--from_run", "y", "--checkpoint", "z", "--config", "w"],
        ["--output", "x", "--from_run", "y", "--dtype", "int8"],
        ["--output", "x", "--to_torch", "y", "--dtype", "bfloat16"],
        ["--output", "x", "--dtype", "bfloat16"],
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


def test_affine_warps_are_none_of_the_official_code(tmp_path):
    config = tiny_config()
    config.model_params.dense_motion_params.warps = "affine"
    save_checkpoint(tmp_path / "affine", draw_variables(config.model_params), config)
    with pytest.raises(InputError, match="has affine warps, which the official code would take"):
        convert_torch_weights.export_checkpoint(tmp_path / "affine", tmp_path / "x.pth.tar")
    assert not (tmp_path / "x.pth.tar").exists()
