"""Which of a run's checkpoints are kept, and on which devices they restore."""

import functools
import os
import shutil

import jax
import numpy as np
import pytest

from tests.helpers.checkpoint_runs import run
from tests.helpers.fake_trainer import FakeTrainer, batches, loop_config, losses
from tests.helpers.loop_runs import trainer
from tpsm_jax.checkpoints.run import Checkpoints, Progress
from tpsm_jax.checkpoints.steps import finished_steps
from tpsm_jax.training.loop import train

pytestmark = pytest.mark.slow  # Orbax


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
