"""TensorFlow is quiet, leaves the accelerators alone, and ends with the program."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from data.pipeline import Batches, import_tensorflow
from data.sample_reader import SampleReader
from tests.helpers.clip_files import write_data_set
from tests.helpers.paths import ROOT
from tpsm_jax.errors import InputError

SCRIPT = """
import sys, time
from data.clips import FolderClip
from data.loader import open_dataset
from tests.helpers.clip_files import small_config
from tpsm_jax.cli import run_script

pair = FolderClip.pair
FolderClip.pair = lambda *arguments: (time.sleep(0.05), pair(*arguments))[1]

def main():
    global batches, held  # alive when Python ends, as in an interactive session
    batches = open_dataset(small_config(sys.argv[1])).batches(batch_size=3, num_repeats=9, seed=0)
    held = [next(batches) for _ in range(int(sys.argv[2]))]

run_script(main)
"""


@pytest.mark.slow
@pytest.mark.parametrize("broken", [False, True])
def test_a_program_ends_while_the_threads_are_reading(tmp_path: Path, broken: bool) -> None:
    """Nothing hangs, and TensorFlow prints nothing."""
    write_data_set(tmp_path)
    bad = tmp_path / "train" / "clip1"
    if broken:
        for path in bad.iterdir():
            path.write_bytes(b"?")
    command = [sys.executable, "-W", "error", "-c", SCRIPT, str(tmp_path), "9" if broken else "2"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    if broken:
        assert done.stderr.startswith(f"error: cannot read the picture {bad}/")
        assert done.stderr.count("\n") == 1
        assert done.returncode == 2
    else:
        assert done.stderr == ""
        assert done.returncode == 0


def test_no_thread_tunes_what_would_end_a_minute_late(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = import_tensorflow().data.Dataset
    with_options, given = dataset.with_options, []
    monkeypatch.setattr(
        dataset,
        "with_options",
        lambda *arguments: given.append(arguments) or with_options(*arguments),
    )
    reader = SampleReader((2, 2))
    sample = {key: np.zeros(*array) for key, array in reader.spec.items()}
    for workers in (0, 3):
        with Batches(
            lambda _: sample,
            str,
            int,
            spec=reader.spec,
            batch_size=1,
            start=0,
            workers=workers,
        ) as batches:
            next(batches)
    threads = [options.threading.private_threadpool_size for _, options in given]
    assert threads == [len(os.sched_getaffinity(0)), 3]
    assert [options.autotune.enabled for _, options in given] == [False, False]


def test_without_tensorflow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(InputError, match=r"pip install -e '\.\[data\]'"):
        import_tensorflow.__wrapped__()


def test_tensorflow_is_kept_off_the_accelerators(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = []
    config = SimpleNamespace(set_visible_devices=lambda *arguments: hidden.append(arguments))
    monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace(config=config))
    import_tensorflow.__wrapped__()
    assert hidden == [([], "GPU"), ([], "TPU")]


@pytest.mark.parametrize("module", ["clips", "folder", "prepare", "roots", "loader"])
def test_finding_clips_imports_neither_tensorflow_nor_jax(module: str) -> None:
    code = f"import sys, data.{module}; print(*{{'jax', 'tensorflow'}} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
