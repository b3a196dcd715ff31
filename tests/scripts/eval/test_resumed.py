"""eval.py resumed, killed, given a folder of another run, and run by two processes."""

import importlib.metadata
import json
import shutil
import socket
import sys

import pytest

from tests.helpers.error_lines import refused
from tests.helpers.eval_files import COUNTS, eval_words, write_clips
from tests.helpers.prepare_files import contents
from tests.helpers.processes import (
    DOOMED,
    LIKE_A_TEST,
    kill_while,
    output_of,
    start_python,
)
from tpsm_jax.evaluation.output import only_evaluation

pytestmark = pytest.mark.slow


def test_going_on_ends_with_the_same_bytes(run, tmp_path):
    run(tmp_path / "whole")
    before = contents(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    for lost in ("metrics.json", "report.html", "converted/clips/b#2.json"):
        (tmp_path / "cut" / lost).unlink()
    (tmp_path / "cut/converted/png/b#2.png").write_bytes(b"half")
    kept = (tmp_path / "cut/converted/clips/a#1.json").stat().st_mtime_ns
    assert run(tmp_path / "cut", "--resume")[0] == 0
    assert contents(tmp_path / "cut") == before
    assert (tmp_path / "cut/converted/clips/a#1.json").stat().st_mtime_ns == kept


def test_killed_in_mid_clip_it_goes_on_to_the_same_bytes(run, inputs, tmp_path):
    write_clips(tmp_path / "clips", {"a": 2, "b": 160, "c": 3})
    data = {"data": tmp_path / "clips"}
    assert run(tmp_path / "whole", **data)[0] == 0
    killed = tmp_path / "killed"
    words = eval_words(inputs, killed, **data)
    process = start_python(*words, **LIKE_A_TEST, **DOOMED)
    videos = killed / "converted" / "video"
    kill_while(lambda: list(videos.glob("*.mp4")) and list(videos.glob(".b.*")), process)
    assert list(videos.glob(".b.*"))
    assert not (killed / "converted/clips/b.json").exists()
    assert run(killed, "--resume", **data)[0] == 0
    assert contents(killed) == contents(tmp_path / "whole")


def test_output_folders_that_are_not_its_own(run, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.tex").write_text("years of work")
    refused(run(tmp_path / "other"), "thesis.tex", "name a new folder")
    assert run(tmp_path / "out", "--clips", 1)[0] == 0
    refused(run(tmp_path / "out", "--clips", 1), "--resume")
    refused(run(tmp_path / "out", "--clips", 2, "--resume"), "another run's: its clips")
    refused(run(tmp_path / "out", "--clips", 1, "--resume", checkpoint=("run",)), "another run's")
    assert run(tmp_path / "out", "--clips", 1, "--resume", data="clips/../clips")[0] == 0


def test_a_second_run_in_one_output(run, tmp_path):
    with only_evaluation(tmp_path / "out"):
        for more in ((), ("--resume",)):
            refused(run(tmp_path / "out", "--clips", 1, *more), "another run is evaluating into")
        assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]
    assert run(tmp_path / "out", "--clips", 1)[0] == 0
    assert not (tmp_path / "out/.lock").exists()


# A point K pixels beside the truth's in every frame of every clip.
SCRIPT = """
import json, sys
from pathlib import Path
from PIL import Image
K = {k}
with open(sys.argv[2], "w") as table:
    for path in Path(sys.argv[1]).iterdir():
        picture = Image.open(path)
        for number in range(picture.width // picture.height):
            value = [[0 if "truth" in path.parts else K, 0]]
            row = {{"file_name": path.name, "frame_number": number, "value": value}}
            print(json.dumps(row), file=table)
"""


def test_a_detector_whose_script_has_changed_looks_again(run, tmp_path):
    def akd(k):
        (tmp_path / "script.py").write_text(SCRIPT.format(k=k))
        command = f"{sys.executable} {tmp_path / 'script.py'} {{input}} {{output}}"
        assert run(tmp_path / "out", "--clips", 1, "--resume", "--detector", command)[0] == 0
        return json.loads((tmp_path / "out/metrics.json").read_text())["models"][0]["totals"]["akd"]

    assert [akd(k) for k in (2, 6, 6)] == [1, 3, 3]


def test_an_evaluation_of_another_version_of_this_package(run, tmp_path):
    assert run(tmp_path / "out", "--clips", 1)[0] == 0
    settings = json.loads((tmp_path / "out/run.json").read_text())
    version = importlib.metadata.version("tpsm_jax")
    assert settings["tpsm_jax"] == version
    (tmp_path / "out/run.json").write_text(json.dumps({**settings, "tpsm_jax": "0.0.1"}))
    result = run(tmp_path / "out", "--clips", 1, "--resume")
    refused(result, f'its tpsm_jax is "0.0.1" and not "{version}"; name a new folder')


@pytest.mark.long
def test_two_processes_equal_one(run, inputs, tmp_path):
    shutil.copytree(inputs / "clips", tmp_path / "clips")
    (tmp_path / "clips/test/d#4").mkdir()  # broken, and the second process's
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    environ = {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "2",
        "JAX_COORDINATOR_ADDRESS": address,
        "JAX_NUM_PROCESSES": "2",
    }
    words = ["eval.py", "--checkpoint", inputs / "converted", "--data", tmp_path / "clips"]
    words += ["--output", tmp_path / "two", "--batch_size", 4, "--compilation_cache", "none"]
    started = [
        start_python(*map(str, words), **environ, JAX_PROCESS_ID=f"{number}") for number in (0, 1)
    ]
    try:
        said = [output_of(process) for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], said
    assert "wrote" in said[0]
    assert "wrote" not in said[1]

    assert run(tmp_path / "one", data=tmp_path / "clips")[0] == 0
    paths = (tmp_path / name / "metrics.json" for name in ("one", "two"))
    one, two = (json.loads(path.read_text()) for path in paths)
    assert [clip["name"] for clip in two["models"][0]["clips"]] == list(COUNTS)
    assert [entry["name"] for entry in two["broken"]] == ["d#4"]
    assert one["broken"] == two["broken"]
    for name, value in one["models"][0]["totals"].items():
        # Other shares a device, and other code for fused loops: other orders of summing.
        assert two["models"][0]["totals"][name] == pytest.approx(value, rel=1e-5), name
