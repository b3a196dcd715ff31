"""Programs that were traced once are taken from disk; whatever else they would be is traced."""

import functools
import os
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from tests.small import model_params, pictures, small_model
from tpsm_jax import kept_programs
from tpsm_jax.animation import Animator
from tpsm_jax.kept_programs import KeptPrograms, kept_place
from tpsm_jax.models.motion_model import MotionModel

X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def traced():
    """What `scaled` was traced for."""
    SEEN.clear()
    jax.clear_caches()
    return SEEN


SEEN: list = []


@functools.partial(jax.jit, static_argnums=0, static_argnames="power")
def scaled(model, x, factors, *, power=1):
    SEEN.append((model, x.shape, power))
    return x**power * factors["one"] + model


def call(model=1, x=X, power=1):
    """As a process that starts anew would."""
    jax.clear_caches()
    return np.asarray(KeptPrograms()(scaled, model, x, {"one": jnp.float32(3)}, power=power))


def test_each_kind_is_traced_once(kept_folder, traced):
    for kind in ({}, {"model": 2}, {"x": X[:1]}, {"power": 2}):
        expected = scaled(kind.get("model", 1), kind.get("x", X), {"one": 3.0},
                          power=kind.get("power", 1))  # fmt: skip
        traced.clear()
        for _ in range(2):
            np.testing.assert_array_equal(call(**kind), expected)
        assert len(traced) == 1
    assert len(os.listdir(kept_folder)) == 4


def test_one_process_looks_once(kept_folder, traced):
    programs = KeptPrograms()
    for number in range(3):
        programs(scaled, 1, X + number, {"one": jnp.float32(3)})
        for path in kept_folder.iterdir():
            path.unlink()
    assert len(traced) == 1


@pytest.mark.parametrize(
    "changed",
    [
        mock.patch.object(kept_programs, "_code", return_value="edited"),
        jax.default_matmul_precision("highest"),
        mock.patch.object(kept_programs, "backend", return_value="gpu"),
    ],
    ids=["code", "setting", "backend"],
)
def test_other_code_settings_and_backends_trace_anew(kept_folder, traced, changed):
    call()
    with changed:
        call()
    assert len(traced) == 2


@pytest.mark.parametrize("content", [b"", b"no program"])
def test_a_damaged_file_is_made_anew(kept_folder, traced, content):
    call()
    (path,) = kept_folder.iterdir()
    path.write_bytes(content)
    np.testing.assert_array_equal(call(), X * 3 + 1)
    call()
    assert len(traced) == 2


def test_a_folder_that_cannot_be_written_is_no_error(kept_folder, traced):
    kept_folder.parent.write_text("a file")
    np.testing.assert_array_equal(call(), X * 3 + 1)


@pytest.mark.parametrize("place", [None, "gs://bucket/cache"])
def test_without_a_folder_here_nothing_is_kept(kept_folder, traced, place):
    jax.config.update("jax_compilation_cache_dir", place)
    assert kept_place("anything") is None
    for _ in range(2):
        np.testing.assert_array_equal(call(), X * 3 + 1)
    assert len(traced) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_quickly")
def test_kept_frames_are_the_same_to_the_bit(kept_folder):
    model, variables = small_model()
    config = ConfigDict({"image_size": (128, 128), "model_params": model_params()})
    source, *driving = pictures(4, 128, 128)

    def frames(keep_programs):
        checkpoint = config, model, variables
        animator = Animator(checkpoint, source, keep_programs=keep_programs)
        return np.stack(list(animator.animate(driving)))

    expected = frames(keep_programs=False)
    np.testing.assert_array_equal(frames(keep_programs=True), expected)
    jax.clear_caches()
    with mock.patch.object(MotionModel, "apply", side_effect=AssertionError("traced")):
        np.testing.assert_array_equal(frames(keep_programs=True), expected)
