"""What eval.py computes and writes: numbers, pictures, videos, the page."""

import json
import re
import shutil
import sys

import jax
import numpy as np
import pytest
from PIL import Image

import convert_torch_weights
from tests.helpers.brightest import Brightest
from tests.helpers.error_lines import refused
from tests.helpers.eval_files import COUNTS
from tests.helpers.prepare_files import contents, prepare
from tests.helpers.tiny_training import SIZE
from tests.helpers.vgg19_weights import vgg19_checkpoint
from tpsm_jax.checkpoints.converted import load_checkpoint
from tpsm_jax.checkpoints.torch import read_torch_file, vgg19_from_torch, write_torch_file
from tpsm_jax.cli import run_script
from tpsm_jax.evaluation.checkpoints import choose_checkpoints
from tpsm_jax.models.vgg19 import VGG19

pytestmark = pytest.mark.slow


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
    code, out, err = run(tmp_path / "out")
    assert code == 0
    assert "frame/s" in err  # while a long clip is computed
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


def test_a_broken_clip_is_reported_and_left_out(run, inputs, tmp_path):
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


def test_frames_of_another_size(run, inputs, tmp_path):
    shutil.copytree(inputs / "clips", tmp_path / "clips")
    place = tmp_path / "clips/test/a#1/00.png"
    Image.new("RGB", (48, 40)).save(place)
    refused(run(tmp_path / "out", data=tmp_path / "clips"), "48 x 40", "takes 32 x 32", "--resize")
    assert run(tmp_path / "out", "--resize", data=tmp_path / "clips")[0] == 0


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
    assert re.search(r"\nTPSM \(published: Zhao and Zhang, CVPR 2022, Table 1\) +0.045 ", out)
    run(tmp_path / "plain", "--clips", 2, "--no_ema", checkpoint=("run",))
    plain = json.loads((tmp_path / "plain/metrics.json").read_text())
    assert plain["models"][0]["totals"]["l1"] != first["l1"]


def test_a_detector_looks_at_truth_and_results(run, inputs, tmp_path):
    shutil.copytree(inputs / "clips", tmp_path / "clips")
    Image.new("RGB", (SIZE, SIZE)).save(tmp_path / "clips/test/a#1/01.png")
    options = {"checkpoint": ("converted", "run@2"), "data": tmp_path / "clips"}
    detector = "tests.helpers.brightest:Brightest"
    command = f"{sys.executable} -m detectors.table --input {{input}} --output {{output}} "
    command += f"--frame_shape {{height}},{{width}} --detector {detector}"
    assert run(tmp_path / "out", **options)[0] == 0
    code, out, _ = run(tmp_path / "out", "--resume", "--detector", command, **options)
    assert code == 0
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    first, second = metrics["models"]

    looked = [look(tmp_path / "out" / name / "png") for name in ("truth", "converted")]
    distances = []
    for true, ours in zip(*looked, strict=True):
        if true is not None and ours is not None:
            seen = ((true >= 0) & (ours >= 0)).all(axis=1)
            distances += [np.abs(true - ours)[seen].mean()] if seen.any() else []
    assert first["totals"]["akd"] == pytest.approx(np.mean(distances))
    assert first["static"]["akd"] == second["static"]["akd"] > 0
    (detection,) = first["detections"]
    assert (detection["detector"], detection["frames"]) == ("brightest pixels 1.0", 14)
    assert detection["missing_in_truth"] == 1
    tables = sorted((tmp_path / "out").glob("*/tables/*.jsonl"))
    assert [path.parts[-3] for path in tables] == ["converted", "run@2", "truth"]
    note = "by brightest pixels 1.0, which found nothing in 1 of 14 frames of the clips"
    page = (tmp_path / "out/report.html").read_text()
    for text in (out, page):
        assert note in text
        assert "compare only within one detector" in text
    assert "<h3>AKD</h3>" in page

    made = [path.stat().st_mtime_ns for path in tables]
    assert run(tmp_path / "out", "--resume", "--detector", command, **options)[0] == 0
    assert [path.stat().st_mtime_ns for path in tables] == made
    whole = contents(tmp_path / "out")
    truth, ours, others = tables[2], tables[0], tables[1]
    code, *_ = run(tmp_path / "out", "--resume", "--tables", truth, ours, others, **options)
    assert code == 0
    assert contents(tmp_path / "out") == whole


def look(folder):
    """What the detector of tests finds in wide pictures, [2, 2] or None a frame."""
    values = []
    for path in sorted(folder.iterdir()):
        strip = np.asarray(Image.open(path))
        for frame in np.split(strip, strip.shape[1] // SIZE, axis=1):
            found = Brightest().detect(frame)
            values.append(found and np.where(found.found[:, None], found.value, -1))
    return values


def test_a_prepared_data_set_gives_the_same_numbers(run, inputs, tmp_path, monkeypatch):
    shutil.copytree(inputs / "clips/test", tmp_path / "clips/test")
    shutil.copytree(inputs / "clips/test/a#1", tmp_path / "clips/train/x")
    size = ("--size", f"{SIZE}", "--format", "png")
    assert prepare(monkeypatch, tmp_path / "clips", tmp_path / "prepared", *size) == 0
    assert run(tmp_path / "raw", data=tmp_path / "clips")[0] == 0
    assert run(tmp_path / "same", data=tmp_path / "prepared")[0] == 0
    raw, same = (
        json.loads((tmp_path / name / "metrics.json").read_text())["models"]
        for name in ("raw", "same")
    )
    assert same == raw
    assert [clip["name"] for clip in raw[0]["clips"]] == list(COUNTS)
    for name in COUNTS:
        file = f"converted/png/{name}.png"
        assert (tmp_path / "same" / file).read_bytes() == (tmp_path / "raw" / file).read_bytes()


def test_vgg19_gives_the_perceptual_distance(run, inputs, tmp_path, monkeypatch):
    state = {key: np.array(value) for key, value in vgg19_checkpoint().items() if "features" in key}
    rng = np.random.default_rng(0)
    for value in state.values():
        value[:] = rng.standard_normal(value.shape, np.float32) * (2 / value[0].size) ** 0.5
    write_torch_file(tmp_path / "vgg19.pth", state)
    words = ["convert_torch_weights.py", "--vgg19", tmp_path / "vgg19.pth"]
    monkeypatch.setattr(sys, "argv", [*map(str, words), "--output", str(tmp_path / "vgg19")])
    with pytest.raises(SystemExit, match="0"):
        run_script(convert_torch_weights.main)

    assert run(tmp_path / "out", "--clips", 1, "--vgg19", tmp_path / "vgg19")[0] == 0
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["vgg19"]["folder"] == str(tmp_path / "vgg19")
    (model,) = metrics["models"]
    files = sorted((inputs / "clips/test/a#1").iterdir())
    frames = np.stack([np.asarray(Image.open(file)) for file in files]) / np.float32(255)
    variables = vgg19_from_torch(read_torch_file(tmp_path / "vgg19.pth"))
    maps = jax.jit(VGG19().apply)(variables, frames)
    still = sum(np.abs(each - each[:1]).mean(axis=(1, 2, 3)) for each in map(np.asarray, maps))
    assert model["static"]["perceptual"] == pytest.approx(still.mean(), rel=1e-5)
    assert 0 < model["totals"]["perceptual"] != model["static"]["perceptual"]
    assert "<h3>VGG-19</h3>" in (tmp_path / "out/report.html").read_text()
    refused(run(tmp_path / "no", "--vgg19", inputs / "converted"), "--vgg19")


def test_a_step_is_for_workdirs_alone_whatever_a_folder_is_called(inputs, tmp_path):
    shutil.copytree(inputs / "converted", tmp_path / "a@2")
    chosen = choose_checkpoints([str(tmp_path / "a@2"), str(inputs / "run")], step="best")
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
    assert not (tmp_path / "out/converted/sheets").exists()
    assert (tmp_path / "out/converted/video/a#1--b#2.mp4").is_file()
    drawn = []
    for seed in (1, 1, 2):
        output = tmp_path / f"random{len(drawn)}"
        assert run(output, "--random_pairs", 2, "--seed", seed, "--mode", "standard")[0] == 0
        drawn.append(json.loads((output / "run.json").read_text())["clips"])
    assert drawn[0] == drawn[1]
    assert all(len(set(names)) == 2 for names in drawn)
    assert all(name.split("--")[0] != name.split("--")[1] for names in drawn for name in names)
