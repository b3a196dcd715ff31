"""What eval.py is tried on, and how it is run."""

import importlib
import signal
import sys

import pytest

from tests.helpers.eval_files import eval_words, write_inputs
from tests.helpers.made_once import made_once
from tpsm_jax.cli import run_script

script = importlib.import_module("eval")


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    """A converted checkpoint, a training run and clips; never changed."""
    return made_once(tmp_path_factory, "eval-inputs", write_inputs)


@pytest.fixture
def run(inputs, monkeypatch, capsys):
    """Runs the script here: (exit code, standard output, standard error)."""
    handler = signal.getsignal(signal.SIGTERM)

    def run(output, *more, **options):
        monkeypatch.setattr(sys, "argv", eval_words(inputs, output, *more, **options))
        with pytest.raises(SystemExit) as end:
            run_script(script.main)
        return end.value.code, *capsys.readouterr()

    yield run
    signal.signal(signal.SIGTERM, handler)
