"""train.py as a command: what it refuses in one line, and whole runs of a tiny model."""

import json
import os
import re
import resource
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import train
from convert_torch_weights import export_checkpoint
from data.evaluation_set import clips_for_test
from tests.helpers.fake_trainer import lines, losses
from tests.helpers.processes import output_of, start_python, wait_for
from tpsm_jax.checkpoints.converted import load_checkpoint
from tpsm_jax.checkpoints.orbax_io import load_tree
from tpsm_jax.checkpoints.steps import finished_steps
from tpsm_jax.errors import InputError
from tpsm_jax.evaluation.measures import mean_over_frames
from tpsm_jax.evaluation.reconstruction import Reconstructor

CONFIG = """
from ml_collections import ConfigDict
from tests.helpers.tiny_training import SIZE, tiny_config

def get_config():
    config = tiny_config(log_every=1, picture_every=0, checkpoint_every=100)
    config.dataset.path = {root!r}
    config.dataset_params.puppets = ConfigDict({{"clips": 4, "frames": 3, "size": SIZE}})
    # Less to compile.
    config.model_params.common_params.bg = False
    config.model_params.common_params.multi_mask = False
    config.model_params.generator_params.num_down_blocks = 1
    config.train_params.loss_weights.warp_loss = 0
    config.train_params.scales = (1,)
    config.train_params.dropout_epoch = 0
    config.dataset_params.augmentation_params = {{}}
    return config
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With a config of its own, whose clips are drawn when they are first needed."""
    folder = tmp_path_factory.mktemp("train")
    (folder / "config.py").write_text(CONFIG.format(root=str(folder / "clips")))
    return folder


def command(folder, workdir, *arguments):
    flags = ["--config", str(folder / "config.py"), "--workdir", str(workdir)]
    return ["train.py", *flags, *arguments]


def assert_refused(words, monkeypatch, *arguments):
    """In one line, before anything is trained."""
    monkeypatch.setattr(sys, "argv", [*arguments, "--compilation_cache", "none"])
    with pytest.raises(InputError) as error:
        train.main()
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config.no_such_field=1"], "no_such_field"),
        (["--config.train_params.batch_sise=1"], "batch_sise"),
        (["--config.total_steps=many"], "total_steps"),
        (["--config.train_params.batch_size=2.5"], "batch_size"),
        (["--config.total_steps=-1"], "config.total_steps is -1 and must be at least 0"),
        (["--config.ema_decay=1.0"], "config.ema_decay is 1.0"),
        (["--config.keep_checkpoints=0"], "config.keep_checkpoints is 0"),
        (["--config.train_params.dropout_inc_epoch=0"], "dropout_inc_epoch is 0"),
        (
            ["--config.dropout_rescale=True", "--config.train_params.dropout_maxp=1.0"],
            "config.train_params.dropout_maxp is 1.0 and must be",
        ),
        (["--frobnicate"], "frobnicate"),
        (["surplus"], "surplus"),
        (["--stage", "evaluation"], "--stage"),
        (["--stage", "avd"], "--stage avd needs --init DIR"),
        (["--init", "runs/vox"], "--init is for --stage avd"),
        (["--config.train_params.batch_size=12"], "divide among 8 devices: take 8 or 16"),
        (["--config.train_params.batch_size=100000"], "100000"),
        (["--config.train_params.batch_size=0"], "batch_size"),
        (["--config.train_params.num_repeats=0"], "num_repeats"),
        (["--config.train_params.num_epochs=0"], "num_epochs"),
        (["--config.dataset.path="], "set --config.dataset.path"),
        (["--config.dataset_params.root_dir=clips"], "it is called config.dataset.path"),
        (["--config.init_from=nowhere"], "there is no checkpoint nowhere"),
        (["--stage", "avd", "--init", "nowhere"], "there is no checkpoint nowhere"),
        (
            [
                "--config.perceptual_features=vgg19",
                "--config.vgg19_dir=nowhere",
                "--config.train_params.loss_weights.perceptual=(1,1,1,1,1)",
            ],
            "convert_torch_weights.py --vgg19 vgg19-dcbb9e9d.pth --output nowhere",
        ),
        (["--config.perceptual_features=vgg16"], "vgg16"),
        (["--config.compute_dtype=float16"], "float16"),
        (["--config.state_sharding=cut"], "cut"),
        (["--config.optimizer=adamm"], "adamm"),
        (["--config.image_size=(30,30)"], "30"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(folder, tmp_path, monkeypatch, arguments, words):
    assert_refused(words, monkeypatch, *command(folder, tmp_path / "run", *arguments))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("field", ["path", "mix_paths"])
@pytest.mark.parametrize(
    ("clips", "workdir", "words"),
    [
        ("clips", "clips", "--workdir {root}/clips is within config.dataset.{field} {root}/clips"),
        ("clips", "clips/train/run", "--workdir {root}/clips/train/run is within config.dataset."),
        ("clips", "link/run", "--workdir {root}/link/run is within config.dataset.{field}"),
        ("run/clips", "run", "config.dataset.{field} {root}/run/clips is within --workdir"),
    ],
)
def test_a_run_and_its_clips_lie_apart(folder, tmp_path, monkeypatch, field, clips, workdir, words):
    (tmp_path / "link").symlink_to("clips")
    value = tmp_path / clips if field == "path" else (str(tmp_path / clips),)
    options = [f"--config.dataset.{field}={value}", "--config.dataset.mix_weights=(1,1)"]
    arguments = command(folder, tmp_path / workdir, *options[: 1 if field == "path" else 2])
    assert_refused(words.format(root=tmp_path, field=field), monkeypatch, *arguments)
    assert os.listdir(tmp_path) == ["link"]


def test_a_data_set_that_is_not_named(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = command(folder, Path("run"), "--config.dataset.path=")
    assert_refused("set --config.dataset.path", monkeypatch, *arguments)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("missing", ["--config", "--workdir"])
def test_missing_flags(monkeypatch, folder, missing):
    arguments = command(folder, folder / "run")
    at = arguments.index(missing)
    assert_refused(missing, monkeypatch, *arguments[:at], *arguments[at + 2 :])


def test_a_workdir_that_is_a_file(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    assert_refused("file cannot be written", monkeypatch, *command(folder, tmp_path / "file"))


def test_an_evaluation_without_test_clips(folder, tmp_path, monkeypatch):
    for name in ("train/a", "test"):
        (tmp_path / "clips" / name).mkdir(parents=True)
    Image.new("RGB", (32, 32)).save(tmp_path / "clips/train/a/0.png")
    arguments = command(folder, tmp_path / "run", f"--config.dataset.path={tmp_path / 'clips'}")
    assert_refused("test holds no clip", monkeypatch, *arguments, "--config.eval_every=5")
    assert not (tmp_path / "run").exists()


# Whole runs, as processes of their own.


def start(folder, workdir, *arguments, **environ):
    # They share what they compile (conftest.py), which must not change a bit.
    environ |= {"JAX_PLATFORMS": "cpu"}
    return start_python(*command(folder, workdir, *arguments), **environ)


def finish(process):
    output = output_of(process)
    assert process.returncode == 0, output
    assert "Traceback" not in output
    assert "WARNING" not in output
    return output


def finish_and_list_compilations(process):
    """What it said, its JAX_LOG_COMPILES being on, and the names of all that was compiled."""
    output = output_of(process)
    assert process.returncode == 0, output
    return output, re.findall(r"Finished XLA compilation of jit\((.+)\) in ", output)


@pytest.fixture(scope="module")
def interrupted(folder):
    """A run that was terminated, and went on for three more steps; and what those compiled."""
    workdir = folder / "interrupted"
    process = start(folder, workdir, "--config.ema_decay=0.5")
    wait_for(lambda: losses(workdir), process)
    process.terminate()
    said = finish(process)
    assert f"{folder / 'clips'}: folder of clips, 4 clips, 2 identities\n" in said
    assert "the same command resumes" in said
    step = finished_steps(workdir)[-1]
    more = ("--config.ema_decay=0.5", f"--config.total_steps={step + 3}")
    more += ("--config.picture_every=1", "--config.eval_every=2", "--config.eval_frames=2")
    process = start(folder, workdir, *more, JAX_LOG_COMPILES="1")
    output, compiled = finish_and_list_compilations(process)
    assert "wrote" in output
    return workdir, step + 3, compiled


@pytest.mark.slow
def test_a_disk_that_fills_up_is_one_line(folder, tmp_path):
    process = start(folder, tmp_path / "run")
    wait_for(lambda: losses(tmp_path / "run"), process)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (10_000, 10_000))
    process.terminate()  # which saves
    output = output_of(process)
    assert process.returncode == 2, output
    assert output.splitlines()[-1].startswith("error: a checkpoint cannot be written to")
    assert "Traceback" not in output


@pytest.mark.slow
def test_nothing_is_compiled_twice(interrupted):
    """There were three steps and pictures, two evaluations and checkpoints."""
    compiled = interrupted[2]
    assert {"step", "outputs", "_drive"} <= set(compiled)
    assert len(compiled) == len(set(compiled)), compiled


@pytest.mark.long
def test_a_run_that_was_terminated_equals_one_that_was_not(folder, interrupted):
    workdir, last, _ = interrupted
    other = folder / "undisturbed"
    more = ("--config.ema_decay=0.5", f"--config.total_steps={last}")
    finish(start(folder, other, *more))
    assert losses(workdir) == losses(other)
    assert list(losses(workdir)) == list(range(1, last + 1))
    for part in ("variables", "ema_params", "opt_state"):
        trees = [load_tree(run / "checkpoints" / str(last) / part) for run in (workdir, other)]
        jax.tree.map(np.testing.assert_array_equal, *trees)


@pytest.mark.slow
def test_what_it_leaves(interrupted):
    workdir, last, _ = interrupted
    config = json.loads((workdir / "config.json").read_text())
    assert (config["stage"], config["total_steps"], config["ema_decay"]) == ("model", last, 0.5)
    assert f"{last:08d}.png" in os.listdir(workdir / "pictures")
    line = json.loads((workdir / "metrics.jsonl").read_text().splitlines()[-1])
    for name in ("loss/perceptual", "gradient/kp_detector", "learning_rate/generator", "eval/l1"):
        assert np.isfinite(line[name])
    evaluated = [line["step"] for line in lines(workdir) if "eval/l1" in line]
    assert evaluated == [
        step for step in range(last - 2, last + 1) if step % 2 == 0 or step == last
    ]
    assert set(evaluated) <= set(finished_steps(workdir))


@pytest.mark.slow
def test_its_evaluation_is_that_of_eval_py(interrupted):
    workdir, last, _ = interrupted
    checkpoint = load_checkpoint(workdir)
    clips = clips_for_test(checkpoint.config, limit=8, resize=True)
    reconstructor = Reconstructor(checkpoint, devices=jax.devices()[:1])
    records = [reconstructor.run(list(clip.frames())[:2])._asdict() for clip in clips]
    line = lines(workdir)[-1]
    assert line["step"] == last
    assert line["eval/clips"] == len(clips)
    static = mean_over_frames(records, "static")
    # The ratio of two differences of frames, as small as 0.001 here, rounds as pixels do: measured
    # 3e-8 of the range of pixels, in this ratio as in the other numbers.
    rounding = {"change_ratio": 1e-7 / static["flicker"]}
    for name, value in mean_over_frames(records, "metrics").items():
        bound = rounding.get(name, 1e-5 * value)
        assert line[f"eval/{name}"] == pytest.approx(value, abs=bound, rel=0), name
    assert line["eval/l1_static"] == pytest.approx(static["l1"], rel=1e-5)


@pytest.mark.slow
def test_the_workdir_is_a_checkpoint(interrupted, tmp_path):
    workdir, last, _ = interrupted
    averaged = load_checkpoint(workdir).variables
    trained = load_checkpoint(workdir, ema=False, step=last).variables
    for found, part in ((averaged["params"], "ema_params"), (trained, "variables")):
        expected = load_tree(workdir / "checkpoints" / str(last) / part)
        jax.tree.map(np.testing.assert_array_equal, found, expected)
    export_checkpoint(workdir, tmp_path / "model.pth.tar")
    assert (tmp_path / "model.pth.tar").stat().st_size > 10000


@pytest.mark.slow
def test_avd_on_the_trained_model(folder, interrupted, monkeypatch):
    workdir, *_ = interrupted
    stage = ("--stage", "avd", "--init", str(workdir), "--config.total_steps=2")
    process = start(folder, folder / "avd", *stage, JAX_LOG_COMPILES="1")
    _, compiled = finish_and_list_compilations(process)
    assert compiled.index("step") == len(compiled) - 1
    assert list(losses(folder / "avd")) == [1, 2]
    before, after = load_checkpoint(workdir).variables, load_checkpoint(folder / "avd").variables
    assert "avd_network" in after["params"]
    for collection, networks in before.items():
        for network, tree in networks.items():
            jax.tree.map(np.testing.assert_array_equal, after[collection][network], tree)
    assert_refused(
        "stage = 'avd', and the config says 'model'", monkeypatch, *command(folder, folder / "avd")
    )
