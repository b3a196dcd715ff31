"""A run's checkpoints: which are kept, where they restore to, how bad ones are reported."""

import functools
import json
import os
import shutil
import threading

import jax
import numpy as np
import optax
import pytest

from tests.helpers.fake_trainer import FakeTrainer, batches, loop_config, losses
from tests.helpers.small import model_params, small_model
from tests.helpers.waiting import wait_until
from tpsm_jax.checkpoints.converted import load_checkpoint, save_checkpoint
from tpsm_jax.checkpoints.run import Checkpoints, Progress
from tpsm_jax.checkpoints.steps import finished_steps
from tpsm_jax.checkpoints.workdir import check_disk
from tpsm_jax.errors import InputError
from tpsm_jax.training.loop import train
from tpsm_jax.training.state import TrainState

pytestmark = pytest.mark.slow  # Orbax


@functools.cache
def trainer(**options):
    return FakeTrainer(**options)


def run(workdir, options=(), make_batches=batches, **changes):
    train(loop_config(**changes), workdir, trainer(**dict(options)), make_batches)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Eight steps, with checkpoints of 4 and 8."""
    workdir = tmp_path_factory.mktemp("trained")
    run(workdir, total_steps=8)
    return workdir


@pytest.fixture
def workdir(tmp_path, trained):
    """A copy that may be harmed."""
    return shutil.copytree(trained, tmp_path / "run")


def assert_error(words, workdir, options=(), **changes):
    with pytest.raises(InputError) as error:
        run(workdir, options, **changes)
    message = str(error.value)
    assert words in message
    assert "\n" not in message
    assert len(message) < 500


# Which are kept.


@pytest.mark.parametrize(
    ("keep", "losses", "kept"),
    [
        (1, [3, 1, 2, 4], [2, 4]),
        (2, [3, 1, 2, 4], [2, 3, 4]),
        (2, [3, 2, 1, 4], [3, 4]),
        (1, [4, 3, 2, 1], [4]),
        (1, [None, 2, None, None], [2, 4]),
    ],
)
def test_the_last_few_and_the_best_are_kept(tmp_path, keep, losses, kept):
    state = trainer().create_state()
    # Each by a manager of its own: which was the best outlives the process.
    for step, loss in enumerate(losses, 1):
        with Checkpoints(tmp_path, keep=keep) as checkpoints:
            checkpoints.save(state, Progress(step), loss)
    assert finished_steps(tmp_path) == kept


def test_the_best_is_that_of_the_lowest_mean_loss(tmp_path, monkeypatch):
    saved = []
    save = Checkpoints.save

    def noted(self, state, progress, mean_loss, held_out_l1):
        saved.append((progress.step, mean_loss))
        save(self, state, progress, mean_loss, held_out_l1)

    monkeypatch.setattr(Checkpoints, "save", noted)
    run(tmp_path)
    found = list(losses(tmp_path).values())
    assert [step for step, _ in saved] == [4, 8, 12]
    np.testing.assert_allclose(
        [loss for _, loss in saved], np.reshape(found, (3, 4)).mean(1), rtol=1e-12
    )


def test_what_an_interrupted_save_left_is_cleared_away(workdir):
    left = workdir / "checkpoints" / "6.orbax-checkpoint-tmp"
    shutil.copytree(workdir / "checkpoints" / "8", left)
    assert finished_steps(workdir) == [4, 8]
    run(workdir)
    assert sorted(os.listdir(workdir / "checkpoints")) == ["12", "8"]


def test_saving_copies_the_state_first(tmp_path):
    """The next step takes the state's memory, while the writing goes on."""
    fake = trainer(width=20000)
    state = fake.create_state()
    expected = jax.device_get(state.params)
    batch = {key: value for key, value in next(batches(0)).items() if key != "name"}
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(state, Progress(1), 1.0)
        for step in range(3):
            state, _ = fake.step(state, batch, step)
        jax.block_until_ready(state)
        checkpoints.wait()
        restored, _ = checkpoints.restore(fake.abstract_state())
    jax.tree.map(np.testing.assert_array_equal, restored.params, expected)


# Where they restore to.


@pytest.mark.parametrize("ema", [False, True])
@pytest.mark.parametrize("saved", [(1, False), (4, True)])
@pytest.mark.parametrize("restored", [(1, False), (2, True), (4, False)])
def test_another_number_of_devices_and_another_layout(tmp_path, saved, restored, ema):
    def made(devices, sharded):
        return trainer_on(devices, sharded, ema)

    first, second = made(*saved), made(*restored)
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        state = first.create_state().replace(step=np.int32(5))
        checkpoints.save(state, Progress(5, 3, 1), 1.0)
        checkpoints.wait()
        back, progress = checkpoints.restore(second.abstract_state())
    assert progress == Progress(5, 3, 1)
    assert int(back.step) == 5
    assert jax.tree.structure(back) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, back, state)
    for leaf, place in zip(jax.tree.leaves(back), jax.tree.leaves(second.shardings), strict=True):
        assert leaf.sharding == place


@functools.cache
def trainer_on(count, sharded, ema):
    return FakeTrainer(devices=jax.devices()[:count], sharded=sharded, ema=ema)


def test_a_run_resumed_on_other_devices_differs_by_rounding(tmp_path):
    everything = []
    for counts in ((4, 4, 4), (1, 2, 4)):
        folder = tmp_path / f"{counts}"
        for part, count in enumerate(counts, 1):
            train(loop_config(total_steps=4 * part), folder, trainer_on(count, True, True), batches)
        everything.append(list(losses(folder).values()))
    np.testing.assert_allclose(everything[1], everything[0], rtol=1e-5)


# How bad ones are reported.


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


# Room, and places that cannot be written.


def leave_free(size, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=size)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)


def test_a_full_disk_is_reported_before_the_first_step(tmp_path, monkeypatch):
    fake = FakeTrainer(width=20000)  # 11 MiB with Adam's moments
    leave_free(30 << 20, monkeypatch)
    config = loop_config(keep_checkpoints=2)
    with pytest.raises(InputError, match=r"4 checkpoints of 10 MiB .*43 MiB .* 30 MiB are free"):
        train(config, tmp_path, fake, batches)
    assert fake.steps == []
    # What is there already needs no room again: with the last few and the best there is one to
    # come before the oldest goes.
    leave_free(15 << 20, monkeypatch)
    for step in ("1", "2", "3"):
        (tmp_path / "checkpoints" / step).mkdir()
    check_disk(tmp_path, 11 << 20, 2)
    with pytest.raises(InputError, match="no room for 2 checkpoints"):
        check_disk(tmp_path, 11 << 20, 3)


def test_a_run_that_is_done_needs_no_room(workdir, monkeypatch):
    leave_free(0, monkeypatch)
    run(workdir, total_steps=8)
    assert_error("no room for", workdir, total_steps=9)


@pytest.mark.parametrize("place", ["file", "file/run"])
def test_a_file_in_the_way(tmp_path, place):
    (tmp_path / "file").write_text("")
    assert_error(f"{tmp_path / place} cannot be written", tmp_path / place)


def test_a_disk_that_fails_in_the_middle(tmp_path):
    def failing(start):
        for batch in batches(start):
            if batch["name"][0].startswith("clip8_"):
                wait_until(lambda: finished_steps(tmp_path) == [4])
                shutil.rmtree(tmp_path / "checkpoints")
                (tmp_path / "checkpoints").write_text("")
            yield batch

    before = lasting_threads()
    with pytest.raises(InputError, match=r"a checkpoint cannot be written to .*Not a directory"):
        run(tmp_path, make_batches=failing)
    # Orbax's own may still be ending.
    wait_until(lambda: not lasting_threads() - before)


def lasting_threads():
    """Those that keep a process from ending."""
    return {thread for thread in threading.enumerate() if not thread.daemon}


def test_a_disk_that_fills_up_is_reported_at_the_next_checkpoint(tmp_path, monkeypatch):
    def filling(start):
        for batch in batches(start):
            if batch["name"][0].startswith("clip8_"):
                wait_until(lambda: finished_steps(tmp_path) == [4])
                leave_free(1, monkeypatch)
            yield batch

    with pytest.raises(InputError, match=r"0 MiB are free on the disk\); .* is of step 4"):
        run(tmp_path, make_batches=filling)
    monkeypatch.undo()
    run(tmp_path)
    assert finished_steps(tmp_path) == [8, 12]


def test_a_converted_checkpoint_is_no_workdir(tmp_path):
    (tmp_path / "variables").mkdir()
    (tmp_path / "config.json").write_text("{}")
    assert_error("is a converted checkpoint", tmp_path)


@pytest.mark.parametrize(
    "names",
    [["metrics.jsonl"], ["checkpoints/epoch5"], ["config.json"], ["config.json", "weights"]],
)
def test_a_folder_of_something_else_is_left_alone(tmp_path, names):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    assert_error("holds other things than a run of train.py", tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    assert {(tmp_path / name).read_text() for name in names} == {"{}"}


def test_killed_before_the_config_was_written(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    run(tmp_path, total_steps=1)
    assert finished_steps(tmp_path) == [1]


def test_a_run_whose_checkpoints_were_removed_starts_from_scratch(workdir):
    shutil.rmtree(workdir / "checkpoints")
    run(workdir, total_steps=2)
    assert list(losses(workdir)) == [1, 2]


# Reading them for evaluation.


@pytest.fixture(scope="module")
def model_run(tmp_path_factory):
    """A workdir with two steps of a real model, averaged; and the states."""
    folder = tmp_path_factory.mktemp("model")
    variables = small_model()[1]
    states = {}
    with Checkpoints(folder, keep=2) as checkpoints:
        for step in (1, 2):
            params = jax.tree.map(lambda leaf, step=step: leaf * step, variables["params"])
            states[step] = TrainState(
                step=np.int32(step),
                params=params,
                batch_stats=variables["batch_stats"],
                opt_state={"generator": np.zeros(3, np.float32)},
                ema_params=jax.tree.map(lambda leaf: leaf + 1, params),
            )
            checkpoints.save(jax.device_put(states[step]), Progress(step), float(step))
    (folder / "config.json").write_text(
        json.dumps({"image_size": [128, 128], "model_params": model_params()})
    )
    return folder, states


def assert_variables(found, params, batch_stats):
    jax.tree.map(
        np.testing.assert_array_equal, found, {"params": params, "batch_stats": batch_stats}
    )


def test_a_workdir_is_a_checkpoint(model_run):
    folder, states = model_run
    loaded = load_checkpoint(folder)
    assert loaded.config.image_size == (128, 128) or list(loaded.config.image_size) == [128, 128]
    assert_variables(loaded.variables, states[2].ema_params, states[2].batch_stats)


@pytest.mark.parametrize("step", [1, 2])
def test_a_step_and_the_trained_parameters_may_be_chosen(model_run, step):
    folder, states = model_run
    loaded = load_checkpoint(folder, step=step, ema=False)
    assert_variables(loaded.variables, states[step].params, states[step].batch_stats)


@pytest.mark.parametrize(("name", "step"), [("1", 1), ("latest", 2), ("best", 1)])
def test_a_step_may_be_chosen_by_its_name(model_run, name, step):
    folder, states = model_run
    loaded = load_checkpoint(folder, step=name)
    assert_variables(loaded.variables, states[step].ema_params, states[step].batch_stats)


def test_a_step_that_is_not_there(model_run, tmp_path):
    with pytest.raises(InputError, match="no checkpoint of step 3, only of 1, 2"):
        load_checkpoint(model_run[0], step=3)
    save_checkpoint(tmp_path / "converted", small_model()[1], {"model_params": model_params()})
    with pytest.raises(InputError, match="no training run"):
        load_checkpoint(tmp_path / "converted", step=3)


def test_a_run_that_has_saved_nothing_yet(tmp_path):
    (tmp_path / "checkpoints" / "3.orbax-checkpoint-tmp").mkdir(parents=True)
    (tmp_path / "config.json").write_text(json.dumps({"model_params": model_params()}))
    with pytest.raises(InputError, match="has not saved a checkpoint yet"):
        load_checkpoint(tmp_path)
