"""Programs that were traced once are taken from disk; whatever else they would be is traced."""

import functools
import os
import subprocess
import sys
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.core import FrozenDict
from jax.sharding import NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from tests.helpers.small import model_params, pictures, small_model
from tpsm_jax.animation.animator import Animator
from tpsm_jax.backends.backend import backend, tracing_for
from tpsm_jax.models.tpsm import MotionModel
from tpsm_jax.runtime import compilation_cache
from tpsm_jax.runtime.compilation_cache import kept_path
from tpsm_jax.runtime.kept_programs import KeptPrograms

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
    """Calls `scaled` as a new process would."""
    jax.clear_caches()
    programs = KeptPrograms(model, traced_for=backend)
    return np.asarray(programs(scaled, x, {"one": jnp.float32(3)}, power=power))


@pytest.mark.slow
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
    programs, factors = KeptPrograms(1, traced_for=backend), {"one": jnp.float32(3)}
    expected = programs(scaled, X, factors)
    for path in kept_folder.iterdir():
        path.unlink()
    with mock.patch.object(jax.export, "export", side_effect=AssertionError("looked again")):
        np.testing.assert_array_equal(programs(scaled, X, factors), expected)
    np.testing.assert_array_equal(programs(scaled, X, factors, power=2), X**2 * 3 + 1)
    np.testing.assert_array_equal(programs(scaled, X[:1], factors), X[:1] * 3 + 1)
    other = jax.jit(lambda model, x, factors: x, static_argnums=0)
    np.testing.assert_array_equal(programs(other, X, factors), X)


@pytest.mark.parametrize(
    "changed",
    [
        mock.patch.object(compilation_cache, "_CODE", "edited"),
        jax.default_matmul_precision("highest"),
        tracing_for("gpu"),
        tracing_for("plain"),
    ],
    ids=["code", "setting", "backend", "plain"],
)
def test_other_code_settings_and_backends_trace_again(kept_folder, traced, changed):
    call()
    with changed:
        call()
    assert len(traced) == 2


def test_one_process_keeps_apart_what_is_traced_for_different_backends(kept_folder, traced):
    programs, factors = KeptPrograms(1, traced_for=backend), {"one": jnp.float32(3)}
    for _ in range(2):
        programs(scaled, X, factors)
        with tracing_for("plain"):
            programs(scaled, X, factors)
    assert len(traced) == 2
    assert len(os.listdir(kept_folder)) == 2


def test_only_code_that_is_traced_counts(tmp_path):
    names = [*compilation_cache.TRACED, "training"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file.py").write_text("before")
    digests = {compilation_cache._digest_code(tmp_path)}
    for name in names:
        (tmp_path / name / "file.py").write_text("after")
        digests.add(compilation_cache._digest_code(tmp_path))
    assert len(digests) == 1 + len(compilation_cache.TRACED)


@pytest.mark.slow
def test_programs_are_made_of_code_that_counts():
    """All that the programs import is hashed, but for errors and old names."""
    script = "import sys, tpsm_jax.animation.programs; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    imported = {name.split(".")[1] for name in run.stdout.split() if name.startswith("tpsm_jax.")}
    assert imported - {"errors", "renamed"} <= set(compilation_cache.TRACED)


def cut_short(content):
    return content[: len(content) // 2]


def with_a_hole(content):
    middle = len(content) // 2
    return content[: middle - 50] + bytes(100) + content[middle + 50 :]


@pytest.mark.parametrize("damage", [lambda _: b"", lambda _: b"a text", cut_short, with_a_hole])
def test_a_damaged_file_is_made_again(kept_folder, traced, damage):
    call()
    (path,) = kept_folder.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    np.testing.assert_array_equal(call(), X * 3 + 1)
    call()
    assert len(traced) == 2


def test_what_jax_does_not_export_is_called_as_it_is(kept_folder, traced):
    factors = FrozenDict({"one": jnp.float32(3)})
    programs = KeptPrograms(1, traced_for=backend)
    np.testing.assert_array_equal(programs(scaled, X, factors), X * 3 + 1)
    shared = jax.device_put(X, NamedSharding(jax.make_mesh((2,), ("b",)), PartitionSpec("b")))
    np.testing.assert_array_equal(call(x=shared), X * 3 + 1)
    assert not kept_folder.exists()


def test_a_folder_that_cannot_be_written_is_no_error(kept_folder, traced):
    kept_folder.parent.write_text("a file")
    np.testing.assert_array_equal(call(), X * 3 + 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jax_compilation_cache_dir", None),
        ("jax_compilation_cache_dir", "gs://bucket/cache"),
        ("jax_enable_compilation_cache", False),
    ],
)
def test_where_jax_keeps_nothing_nothing_is_kept(kept_folder, traced, name, value):
    before = getattr(jax.config, name)
    jax.config.update(name, value)
    try:
        assert kept_path("anything") is None
        for _ in range(2):
            np.testing.assert_array_equal(call(), X * 3 + 1)
    finally:
        jax.config.update(name, before)
    assert len(traced) == 2


@pytest.mark.slow
def test_kept_frames_are_the_same_to_the_bit(kept_folder):
    model, variables = small_model()
    config = ConfigDict({"image_size": (64, 64), "model_params": model_params()})
    source, *driving = pictures(4, 64, 64)

    def frames(keep_programs):
        checkpoint = config, model, variables
        animator = Animator(checkpoint, source, keep_programs=keep_programs)
        return np.stack(list(animator.animate(driving)))

    expected = frames(keep_programs=False)
    np.testing.assert_array_equal(frames(keep_programs=True), expected)
    jax.clear_caches()
    with mock.patch.object(MotionModel, "apply", side_effect=AssertionError("traced")):
        np.testing.assert_array_equal(frames(keep_programs=True), expected)
