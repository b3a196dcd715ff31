"""A program that a CPU's memory cannot hold is refused in one line before it runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from tests.helpers.small import model_params, small_model
from tests.helpers.tiny_training import tiny_batch, tiny_config
from tpsm_jax.animation.animator import Animator
from tpsm_jax.errors import InputError
from tpsm_jax.evaluation.reconstruction import Reconstructor
from tpsm_jax.parallel.sharding import make_mesh
from tpsm_jax.runtime import program_memory
from tpsm_jax.runtime.program_memory import check_program_fits
from tpsm_jax.training.setup import make_model_trainer


@jax.jit
def doubled(x):
    return jnp.concatenate([x, x])


def test_a_program_that_does_not_fit_is_refused(monkeypatch):
    lowered = doubled.lower(np.zeros(2**28, np.float32))
    monkeypatch.setattr(program_memory, "free_memory", lambda: 2 * 2**30)
    check_program_fits(lambda: lowered)
    monkeypatch.setattr(program_memory, "free_memory", lambda: 2 * 2**30 - 1)
    with pytest.raises(InputError, match=r"takes 2\.0 GiB of memory, and 2\.0 are free: take a sm"):
        check_program_fits(lambda: lowered)


def test_devices_of_a_host_share_its_memory(monkeypatch):
    sharding = NamedSharding(Mesh(np.array(jax.devices()[:2]), "data"), PartitionSpec("data"))
    x = jax.device_put(np.zeros((2, 2**18), np.float32), sharding)
    lowered = jax.jit(jnp.negative).lower(x)  # 1 MiB on each device
    monkeypatch.setattr(program_memory, "free_memory", lambda: 2 * 2**20)
    check_program_fits(lambda: lowered)
    monkeypatch.setattr(program_memory, "free_memory", lambda: 2 * 2**20 - 1)
    with pytest.raises(InputError):
        check_program_fits(lambda: lowered)


def test_what_is_donated_is_not_taken_twice(monkeypatch):
    lowered = jax.jit(jnp.negative, donate_argnums=0).lower(np.zeros(2**18, np.float32))
    monkeypatch.setattr(program_memory, "free_memory", lambda: 0)
    check_program_fits(lambda: lowered)


def small_checkpoint():
    model, variables = small_model()
    config = ConfigDict({"image_size": (64, 64), "model_params": model_params()})
    return config, model, variables


def animator(checkpoint, pictures):
    list(Animator(checkpoint, pictures[0]).animate(pictures))


def keeping_animator(checkpoint, pictures):
    Animator(checkpoint, pictures[0], keep_programs=True)


def reconstructor(checkpoint, pictures):
    Reconstructor(checkpoint, batch_size=2, devices=jax.devices()[:1]).run(pictures)


@pytest.mark.parametrize("run", [animator, keeping_animator, reconstructor])
def test_animation_and_evaluation_ask_before_they_run(run, monkeypatch):
    monkeypatch.setattr(program_memory, "free_memory", lambda: 0)
    with pytest.raises(InputError, match="are free: take a smaller --batch_size"):
        run(small_checkpoint(), np.zeros((2, 64, 64, 3), np.uint8))


def test_training_asks_before_it_runs(monkeypatch):
    config = tiny_config()
    trainer = make_model_trainer(config, make_mesh(jax.devices()[:1]), steps_per_epoch=1)
    # The whole step takes a minute to compile.
    trainer._step = jax.jit(lambda state, batch, constants, phase: batch, static_argnums=3)
    batch = {name: tiny_batch(config)[name] for name in ("source", "driving")}
    monkeypatch.setattr(program_memory, "free_memory", lambda: 0)
    with pytest.raises(InputError, match="accumulate_steps"):
        trainer.step(None, batch, 0)
