"""What a run may be resumed from: damage and other settings are refused in one line."""

import json
import os
import shutil

import optax
import pytest

from tests.helpers.checkpoint_runs import assert_error, run
from tests.helpers.fake_trainer import FakeTrainer, batches, loop_config, losses
from tests.helpers.loop_runs import trainer
from tpsm_jax.checkpoints.steps import finished_steps
from tpsm_jax.errors import InputError
from tpsm_jax.training.loop import train

pytestmark = pytest.mark.slow  # Orbax


@pytest.mark.parametrize(
    "pattern",
    ["variables/_METADATA", "variables/manifest.ocdbt", "variables/d/*", "opt_state/d/*",
     "opt_state/manifest.ocdbt", "loop/metadata", "metrics/metrics"],
)  # fmt: skip
@pytest.mark.parametrize("harm", ["cut", "lost"])
def test_a_damaged_newest_one_is_named(workdir, pattern, harm):
    place = workdir / "checkpoints" / "8"
    paths = list(place.glob(pattern))
    assert paths
    for path in paths:
        content = path.read_bytes()
        path.unlink()
        if harm == "cut":
            path.write_bytes(content[: len(content) // 2])
    if (pattern, harm) == ("metrics/metrics", "lost"):
        return  # then it is merely not known how good it is
    assert_error(f"{place} is damaged", workdir)
    shutil.rmtree(place)
    run(workdir)
    assert list(losses(workdir)) == list(range(1, 13))


def test_the_older_one_is_named_too(workdir):
    shutil.rmtree(workdir / "checkpoints" / "8" / "opt_state")
    assert_error("remove it to resume from step 4", workdir)
    shutil.rmtree(workdir / "checkpoints" / "4")
    assert_error("remove it to start from scratch", workdir)


def test_another_model(workdir):
    config = loop_config()
    config.model_params.width = 9
    with pytest.raises(InputError, match=r"model_params\.width = 8, and the config says 9"):
        train(config, workdir, trainer(width=9), batches)
    assert json.loads((workdir / "config.json").read_text())["model_params"]["width"] == 8


def test_another_stage(workdir):
    config = loop_config()
    with config.unlocked():
        config.stage = "avd"
    with pytest.raises(InputError, match="stage = None, and the config says 'avd'"):
        train(config, workdir, trainer(), batches)


def test_other_epochs(workdir):
    message = (
        "this run has 100 steps an epoch of batch 4, and the config and clips now make 50 of 4: "
    )
    assert_error(message, workdir, (("steps_per_epoch", 50),))
    larger = FakeTrainer()
    larger.batch_size = 8
    with pytest.raises(InputError, match="make 100 of 8: take the same batch_size, num_repeats"):
        train(loop_config(log_every=3), workdir, larger, batches)
    assert finished_steps(workdir) == [4, 8]
    assert json.loads((workdir / "config.json").read_text())["log_every"] == 1
    # They are remembered from part to part.
    run(workdir, total_steps=10)
    assert_error(message, workdir, (("steps_per_epoch", 50),))


def test_another_optimizer(workdir):
    assert_error("optimizer = '', and the config says 'sgd'", workdir, optimizer="sgd")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((("optimizer", optax.sgd(0.1)),), "opt_state/network/0/count is int32 in it"),
        ((("width", 9),), "is 384 float32 in it and 432 float32 by this one"),
        ((("ema", True),), "ema_params"),
    ],
)
def test_a_state_of_another_form(workdir, options, words):
    assert_error(words, workdir, options)


def test_a_run_without_its_average(tmp_path):
    run(tmp_path, (("ema", True),), total_steps=4)
    assert_error("ema_params", tmp_path)


def test_other_changes_are_allowed_and_recorded(workdir):
    run(workdir, total_steps=9, log_every=3)
    config = json.loads((workdir / "config.json").read_text())
    assert (config["total_steps"], config["log_every"]) == (9, 3)
    assert config["model_params"] == {"width": 8}
    assert not [name for name in os.listdir(workdir) if name.startswith(".")]


def test_a_damaged_config(workdir):
    (workdir / "config.json").write_text('{"model_')
    assert_error("config.json is damaged", workdir)


def test_killed_before_the_config_was_written(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    run(tmp_path, total_steps=1)
    assert finished_steps(tmp_path) == [1]


def test_a_run_whose_checkpoints_were_removed_starts_from_scratch(workdir):
    shutil.rmtree(workdir / "checkpoints")
    run(workdir, total_steps=2)
    assert list(losses(workdir)) == [1, 2]
