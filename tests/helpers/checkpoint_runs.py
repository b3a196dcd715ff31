"""Runs of the training loop whose checkpoints are looked at, or refused."""

import pytest

from tests.helpers.fake_trainer import batches, loop_config
from tests.helpers.loop_runs import trainer
from tpsm_jax.errors import InputError
from tpsm_jax.training.loop import train


def run(workdir, options=(), make_batches=batches, **changes):
    train(loop_config(**changes), workdir, trainer(**dict(options)), make_batches)


def assert_error(words, workdir, options=(), **changes):
    with pytest.raises(InputError) as error:
        run(workdir, options, **changes)
    message = str(error.value)
    assert words in message
    assert "\n" not in message
    assert len(message) < 500
