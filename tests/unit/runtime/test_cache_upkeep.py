"""A folder of compiled programs stays below its limit, and damaged entries are replaced."""

import os
import warnings

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache.compilation_cache import reset_cache

from tpsm_jax.runtime import compilation_cache
from tpsm_jax.runtime.cache_upkeep import limit_size, remove_damaged_entries


def write(folder, name, *, size=100, age=0):
    path = folder / name
    path.write_bytes(bytes(size))
    os.utime(path, (1e9 - age, 1e9 - age))
    return path


def test_what_was_not_used_for_longest_goes(tmp_path):
    old = write(tmp_path, "jit_f-1-cache", age=30)
    ours = write(tmp_path, "tpsm_jax-render-2", age=20)
    new = write(tmp_path, "jit_f-2-cache", age=10)
    others = write(tmp_path, "notes.txt", size=1000, age=99)
    limit_size(tmp_path, 300)
    assert old.exists()
    limit_size(tmp_path, 299)
    assert not old.exists()
    assert ours.exists()
    limit_size(tmp_path, 100)
    assert not ours.exists()
    assert new.exists()
    assert others.exists()


def test_a_folder_that_is_not_there_yet(tmp_path):
    limit_size(tmp_path / "none")


@pytest.fixture
def shown(monkeypatch):
    """The warnings that are shown, all of them."""
    texts = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", lambda text, *_: texts.append(str(text)))
        yield texts


def compile_and_run():
    jax.clear_caches()
    # The folder may be another one than before.
    reset_cache()
    jax.jit(lambda x: jnp.sin(x) * 3)(jnp.ones(3)).block_until_ready()


@pytest.fixture
def folder(tmp_path):
    names = {
        "jax_compilation_cache_dir": str(tmp_path),
        "jax_persistent_cache_min_compile_time_secs": 0,
    }
    before = {name: getattr(jax.config, name) for name in names}
    for name, value in names.items():
        jax.config.update(name, value)
    yield tmp_path
    for name, value in before.items():
        jax.config.update(name, value)
    reset_cache()


@pytest.mark.slow
def test_a_truncated_entry_is_mentioned_once_and_made_again(folder, shown):
    remove_damaged_entries(folder)
    remove_damaged_entries(folder)  # as two scripts in one process
    compile_and_run()
    entries = {path.name: path.stat().st_size for path in folder.glob("*-cache")}
    assert entries
    for name in entries:
        os.truncate(folder / name, 50)
    compile_and_run()
    assert len(shown) == len(entries)
    assert all("damaged entry for jit_" in text and "compiled again" in text for text in shown)
    assert {p.name for p in folder.glob("*-cache")} == set(entries)
    assert all(path.stat().st_size > 50 for path in folder.glob("*-cache"))
    shown.clear()
    compile_and_run()
    warnings.warn("of another kind", stacklevel=1)
    assert shown == ["of another kind"]


def test_a_user_without_a_home_has_no_folder(monkeypatch, nothing_kept):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    compilation_cache.use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir is None


def test_a_folder_of_others_is_not_emptied(tmp_path, monkeypatch, folder):
    monkeypatch.setattr(compilation_cache, "limit_size", lambda path: emptied.append(path))
    monkeypatch.setattr(compilation_cache, "remove_damaged_entries", lambda path: None)
    emptied = []
    compilation_cache.use_compilation_cache()
    assert emptied == []
    compilation_cache.use_compilation_cache(tmp_path)
    assert emptied == [tmp_path]
