"""Evaluation within the loop, and the best checkpoint by its held-out L1."""

import os
import signal

import jax
import numpy as np
import pytest

from tests.helpers.fake_trainer import (
    evaluation,
    lines,
    losses,
)
from tests.helpers.loop_runs import assert_same_weights, run
from tpsm_jax.checkpoints.orbax_io import load_tree
from tpsm_jax.checkpoints.steps import find_step, finished_steps


def held_out(workdir):
    """Step -> L1 of the evaluated ones."""
    return {line["step"]: line["eval/l1"] for line in lines(workdir) if "eval/l1" in line}


def test_evaluated_steps_are_logged_and_checkpointed(tmp_path, undisturbed):
    run(
        tmp_path, evaluate=evaluation(iter([0.3, 0.1, 0.2])), eval_every=5, log_every=4,
        checkpoint_every=0, keep_checkpoints=9,
    )  # fmt: skip
    assert held_out(tmp_path) == {5: 0.3, 10: 0.1, 12: 0.2}  # the last one always
    every = losses(undisturbed)
    assert losses(tmp_path) == {step: every[step] for step in (4, 5, 8, 10, 12)}
    assert finished_steps(tmp_path) == [5, 10, 12]
    assert_same_weights(tmp_path, undisturbed)


def test_the_best_is_that_of_the_least_held_out_l1(tmp_path):
    values = iter([0.3, 0.1, 0.2, 0.4, 0.15, 0.5])
    run(tmp_path, evaluate=evaluation(values), eval_every=2, keep_checkpoints=1)
    found = losses(tmp_path)
    assert min(found[step] for step in (11, 12)) < found[3]  # the loss says otherwise
    assert finished_steps(tmp_path) == [4, 12]
    assert find_step(tmp_path, "best") == 4
    # It stays the best where later ones are not evaluated, though their loss is less.
    run(tmp_path, total_steps=20, keep_checkpoints=1)
    assert finished_steps(tmp_path) == [4, 20]
    assert find_step(tmp_path, "best") == 4


def test_before_the_first_evaluation_the_loss_tells_the_best(tmp_path):
    run(tmp_path, keep_checkpoints=1)
    run(tmp_path, evaluate=evaluation(iter([9.0])), eval_every=14, total_steps=14,
        keep_checkpoints=9)  # fmt: skip
    assert find_step(tmp_path, "best") == 14
    assert len(finished_steps(tmp_path)) > 1


def test_a_held_out_l1_that_is_not_finite_is_not_the_best(tmp_path):
    values = iter([float("nan"), 0.5, float("inf")])
    run(tmp_path, evaluate=evaluation(values), eval_every=4)
    assert held_out(tmp_path) == {4: None, 8: 0.5, 12: None}
    assert find_step(tmp_path, "best") == 8


def test_evaluation_gets_the_averaged_weights_of_the_step(tmp_path):
    seen = []

    def evaluate(variables, stop):
        seen.append(jax.device_get(variables["params"]))
        return {"eval/l1": 0.5}

    run(tmp_path, evaluate=evaluate, eval_every=4, keep_checkpoints=3)
    for step, params in zip((4, 8, 12), seen, strict=True):
        saved = load_tree(tmp_path / "checkpoints" / str(step) / "ema_params")
        jax.tree.map(np.testing.assert_array_equal, params, saved)


def test_sigterm_during_an_evaluation_saves_and_the_same_call_goes_on(
    tmp_path, undisturbed, capsys
):
    def evaluate(variables, stop):
        os.kill(os.getpid(), signal.SIGTERM)
        return {} if stop() else {"eval/l1": 0.5}

    run(tmp_path, evaluate=evaluate, eval_every=5, checkpoint_every=0)
    assert "stopped after step 5" in capsys.readouterr().err
    assert finished_steps(tmp_path) == [5]
    assert list(losses(tmp_path)) == [1, 2, 3, 4, 5]
    run(tmp_path, evaluate=evaluation(iter([0.2, 0.1])), eval_every=5)
    assert held_out(tmp_path) == {10: 0.2, 12: 0.1}
    assert losses(tmp_path) == losses(undisturbed)
    assert_same_weights(tmp_path, undisturbed)


def test_an_evaluation_that_is_missing(tmp_path):
    with pytest.raises(ValueError, match="eval_every"):
        run(tmp_path / "new", eval_every=4)
