"""convert_torch_weights.py run in this process."""

import sys

import pytest

import convert_torch_weights
from tpsm_jax.cli import run_script


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
