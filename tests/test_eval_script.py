"""eval.py as a command: what it writes, goes on with, and refuses."""

import importlib
import json
import re
import shutil
import signal
import socket
import sys

import jax
import numpy as np
import pytest
from PIL import Image

from tests.processes import start_python
from tests.small import draw_variables
from tests.tiny_training import SIZE, tiny_batch, tiny_config
from tpsm_jax.checkpoints import load_checkpoint, save_checkpoint
from tpsm_jax.errors import run_script
from tpsm_jax.evaluation.models import choose_models
from tpsm_jax.models.motion_model import build_model
from tpsm_jax.orbax_trees import save_tree

script = importlib.import_module("eval")
pytestmark = pytest.mark.slow
COUNTS = {"a#1": 3, "b#2": 10, "c#3": 1}


@pytest.fixture(scope="module", autouse=True)
def _compiled_quickly():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A checkpoint, a training run of two steps with an average, and clips."""
    folder = tmp_path_factory.mktemp("inputs")
    config = tiny_config()
    model = build_model(config.model_params)
    variables = draw_variables(model)
    save_checkpoint(folder / "converted", variables, config)
    other = {**variables, "params": jax.tree.map(lambda x: 1.1 * x, variables["params"])}
    for step, ours, loss in ((1, variables, 1.0), (2, other, 2.0)):
        place = folder / "run" / "checkpoints" / f"{step}"
        (place / "metrics").mkdir(parents=True)
        (place / "metrics" / "metrics").write_text(json.dumps({"loss": loss}))
        save_tree(place / "variables", ours)
    save_tree(folder / "run/checkpoints/2/ema_params", variables["params"])
    shutil.copy(folder / "converted" / "config.json", folder / "run" / "config.json")
    write_clips(folder / "clips")
    return folder


def write_clips(root):
    (root / "train").mkdir(parents=True)
    for step, (name, count) in enumerate(COUNTS.items()):
        place = root / "test" / name
        place.mkdir(parents=True)
        frames = tiny_batch(tiny_config(), step)["driving"]
        for number in range(count):
            Image.fromarray(frames[number % len(frames)]).save(place / f"{number:02d}.png")


@pytest.fixture
def run(inputs, monkeypatch, capsys):
    """Runs the script here: (exit code, standard output, standard error)."""
    handler = signal.getsignal(signal.SIGTERM)

    def run(output, *more, checkpoint=("converted",), data="clips"):
        folders = [str(inputs / name) for name in checkpoint]
        words = ["eval.py", "--checkpoint", *folders, "--data", str(inputs / data)]
        words += ["--output", str(output), "--compilation_cache", "none", "--batch_size", "8"]
        monkeypatch.setattr(sys, "argv", [*words, *map(str, more)])
        with pytest.raises(SystemExit) as end:
            run_script(script.main)
        return end.value.code, *capsys.readouterr()

    yield run
    signal.signal(signal.SIGTERM, handler)


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(result, *words):
    code, out, err = result
    told = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 2
    assert len(told) == 1
    assert "Traceback" not in err + out
    for word in words:
        assert word in told[0]


@pytest.fixture(scope="module")
def expected(inputs):
    """L1 of the result and of the source, for each frame of each clip."""
    _, model, variables = load_checkpoint(inputs / "converted")
    apply = jax.jit(lambda source, frames: model.apply(variables, source, frames)["prediction"])
    errors, still = {}, {}
    for name in COUNTS:
        files = sorted((inputs / "clips/test" / name).iterdir())
        frames = np.stack([np.asarray(Image.open(file)) for file in files]) / np.float32(255)
        padded = np.concatenate([frames, np.repeat(frames[-1:], 10 - len(frames), axis=0)])
        result = apply(np.broadcast_to(padded[:1], padded.shape), padded)[: len(frames)]
        errors[name] = np.abs(result - frames).mean(axis=(1, 2, 3))
        still[name] = np.abs(frames[:1] - frames).mean(axis=(1, 2, 3))
    return errors, still


def test_numbers_and_files(run, inputs, tmp_path, expected):
    code, out, _ = run(tmp_path / "out")
    assert code == 0
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    (model,) = metrics["models"]
    errors, still = expected
    assert metrics["schema_version"] == 1
    assert (model["step"], model["frames"]) == (None, 14)
    assert model["totals"]["l1"] == pytest.approx(np.mean(np.concatenate(list(errors.values()))))
    assert model["static"]["l1"] == pytest.approx(np.mean(np.concatenate(list(still.values()))))
    for clip in model["clips"]:
        assert clip["metrics"]["l1"] == pytest.approx(errors[clip["name"]].mean(), abs=1e-6)
        with Image.open(tmp_path / "out/converted/png" / f"{clip['name']}.png") as picture:
            assert picture.size == (SIZE * clip["frames"], SIZE)
    assert model["config"]["model_params"]["common_params"]["num_tps"] == 2
    assert metrics["software"]["jax"] == jax.__version__
    assert re.search(rf"converted +{model['totals']['l1']:.4f} ", out)
    videos = {path.name for path in (tmp_path / "out/converted/video").iterdir()}
    assert videos == {f"{name}.mp4" for name in COUNTS}


def test_the_page_needs_nothing_else(run, tmp_path):
    run(tmp_path / "out")
    page = (tmp_path / "out/report.html").read_text()
    sources = re.findall(r'(?:src|href)="?([^" >]{1,20})', page)
    assert len(sources) == 6  # best, median and worst, each a video and a sheet
    assert {source.split(";")[0] for source in sources} == {"data:video/mp4", "data:image/webp"}
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)
    for role in ("best", "median", "worst"):
        assert f"<h3>{role}: " in page


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


def test_a_broken_clip_is_told_and_left_out(run, inputs, tmp_path):
    shutil.copytree(inputs / "clips", tmp_path / "clips")
    (tmp_path / "clips/test/b#2/05.png").write_bytes(b"no picture")
    (tmp_path / "clips/test/empty").mkdir()
    code, out, err = run(tmp_path / "out", data=tmp_path / "clips")
    assert code == 0
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert [clip["name"] for clip in metrics["models"][0]["clips"]] == ["a#1", "c#3"]
    assert [entry["name"] for entry in metrics["broken"]] == ["b#2", "empty"]
    assert "05.png" in metrics["broken"][0]["reason"]
    assert "left out: " in err
    assert "2 clips left out" in out
    assert "05.png" in (tmp_path / "out/report.html").read_text()
    assert not list((tmp_path / "out").rglob("*b#2*"))
    for name in ("a#1", "c#3"):
        (tmp_path / "clips/test" / name / "00.png").write_bytes(b"no picture")
    refused(run(tmp_path / "none", data=tmp_path / "clips"), "none of the 4 clips can be read")


def test_steps_and_averages_of_a_run_beside_a_converted_checkpoint(run, tmp_path, expected):
    code, out, _ = run(
        tmp_path / "out", "--clips", 2, "--dataset", "taichi",
        checkpoint=("converted", "run@best", "run"),
    )  # fmt: skip
    assert code == 0
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    names = [model["name"] for model in metrics["models"]]
    assert names == ["converted", "run@1", "run@2"]
    assert [len(model["clips"]) for model in metrics["models"]] == [2, 2, 2]
    first, *others = (model["totals"] for model in metrics["models"])
    assert others == [first, first]  # step 1 has the same weights, and so has step 2's average
    assert "TPSM (published: Zhao and Zhang, CVPR 2022, Table 1)  0.045" in out
    run(tmp_path / "plain", "--clips", 2, "--no_ema", checkpoint=("run",))
    plain = json.loads((tmp_path / "plain/metrics.json").read_text())
    assert plain["models"][0]["totals"]["l1"] != first["l1"]


def test_a_step_is_for_workdirs_alone_whatever_a_folder_is_called(inputs, tmp_path):
    shutil.copytree(inputs / "converted", tmp_path / "a@2")
    chosen = choose_models([str(tmp_path / "a@2"), str(inputs / "run")], step="best")
    assert [(model.name, model.step) for model in chosen] == [("a@2", None), ("run@1", 1)]


def test_pairs(run, tmp_path):
    (tmp_path / "pairs.csv").write_text("distance,source,driving,frame\n1.5,a#1,b#2,0\n2,c#3,a#1,0")
    code, *_ = run(tmp_path / "out", "--pairs", tmp_path / "pairs.csv")
    assert code == 0
    (model,) = json.loads((tmp_path / "out/metrics.json").read_text())["models"]
    assert {clip["name"]: clip["frames"] for clip in model["clips"]} == {
        "a#1--b#2": 10,
        "c#3--a#1": 3,
    }
    assert set(model["totals"]) == {"keypoints", "change_ratio"}
    assert (tmp_path / "out/converted/video/a#1--b#2.mp4").is_file()
    drawn = []
    for seed in (1, 1, 2):
        output = tmp_path / f"random{len(drawn)}"
        assert run(output, "--random_pairs", 2, "--seed", seed, "--mode", "standard")[0] == 0
        drawn.append(json.loads((output / "run.json").read_text())["clips"])
    assert drawn[0] == drawn[1]
    assert all(len(set(names)) == 2 for names in drawn)
    assert all(name.split("--")[0] != name.split("--")[1] for names in drawn for name in names)


def test_what_cannot_be_evaluated(run, inputs, tmp_path):
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("source,driving\na#1,nobody\n")
    refused(run(tmp_path / "o1", "--pairs", pairs), "'nobody'", "not among the 3 test clips")
    pairs.write_text("from,to\na,b\n")
    refused(run(tmp_path / "o2", "--pairs", pairs), "no column 'source'")
    refused(run(tmp_path / "o3", "--pairs", tmp_path / "no.csv"), "cannot read the pairs")
    (tmp_path / "empty/train").mkdir(parents=True)
    (tmp_path / "empty/test").mkdir()
    refused(run(tmp_path / "o4", data=tmp_path / "empty"), "test holds no clip")
    refused(run(tmp_path / "o5", data="nowhere"), "there is no folder of clips")
    refused(run(tmp_path / "o6", checkpoint=("nowhere",)), "there is no checkpoint")
    refused(run(tmp_path / "o7", checkpoint=("run@7",)), "no checkpoint of step 7")
    refused(run(tmp_path / "o8", checkpoint=("run", "run@2")), "given twice")
    refused(run(tmp_path / "o9", "--pairs", pairs, "--random_pairs", 2), "not both")
    assert not [path for path in tmp_path.glob("o?") if list(path.rglob("*.png"))]


def test_frames_of_another_size(run, inputs, tmp_path):
    shutil.copytree(inputs / "clips", tmp_path / "clips")
    place = tmp_path / "clips/test/a#1/00.png"
    Image.new("RGB", (48, 40)).save(place)
    refused(run(tmp_path / "out", data=tmp_path / "clips"), "48 x 40", "takes 32 x 32", "--resize")
    assert run(tmp_path / "resized", "--resize", data=tmp_path / "clips")[0] == 0


def test_output_folders_that_are_not_its_own(run, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.tex").write_text("years of work")
    refused(run(tmp_path / "other"), "thesis.tex", "name a new folder")
    assert run(tmp_path / "out", "--clips", 1)[0] == 0
    refused(run(tmp_path / "out", "--clips", 1), "--resume")
    refused(run(tmp_path / "out", "--clips", 2, "--resume"), "another run's: its clips")
    refused(run(tmp_path / "out", "--clips", 1, "--resume", checkpoint=("run",)), "another run's")
    assert run(tmp_path / "out", "--clips", 1, "--resume")[0] == 0


def test_two_processes_equal_one(run, inputs, tmp_path):
    shutil.copytree(inputs / "clips", tmp_path / "clips")
    (tmp_path / "clips/test/d#4").mkdir()  # broken, and the second process's
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    environ = {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "2",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_COORDINATOR_ADDRESS": address,
        "JAX_NUM_PROCESSES": "2",
    }
    words = ["eval.py", "--checkpoint", inputs / "converted", "--data", tmp_path / "clips"]
    words += ["--output", tmp_path / "two", "--batch_size", 4, "--compilation_cache", "none"]
    started = [
        start_python(*map(str, words), **environ, JAX_PROCESS_ID=f"{number}") for number in (0, 1)
    ]
    try:
        said = [process.communicate(timeout=300)[0] for process in started]
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
        # Other shares a device: other orders of summing.
        assert two["models"][0]["totals"][name] == pytest.approx(value, rel=1e-5), name
