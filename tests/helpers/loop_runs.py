"""Runs of the training loop with the tiny trainer."""

import functools
import os
import signal

import jax
import numpy as np

from tests.helpers.fake_trainer import (
    FakeTrainer,
    batches,
    loop_config,
)
from tpsm_jax.checkpoints.orbax_io import load_tree
from tpsm_jax.training.loop import train


@functools.cache
def trainer(**options):
    """Shared, because compiling takes longer than the tests."""
    return FakeTrainer(**options)


def run(workdir, make_batches=batches, *, evaluate=None, options=(("ema", True),), **changes):
    train(loop_config(**changes), workdir, trainer(**dict(options)), make_batches, evaluate)


def assert_same_weights(workdir, other, step=12):
    for part in ("variables", "ema_params", "opt_state"):
        trees = [
            load_tree(folder / "checkpoints" / str(step) / part) for folder in (workdir, other)
        ]
        jax.tree.map(np.testing.assert_array_equal, *trees)


def terminated(start, at=5, number=signal.SIGTERM):
    """Batches whose reading is met by a signal; the loop has read two ahead."""
    for batch in batches(start):
        if batch["name"][0].startswith(f"clip{at}_"):
            os.kill(os.getpid(), number)
        yield batch
