"""Compiled programs kept on disk, so that only a machine's first run compiles.

Other results that depend on this package's code are kept in the same folder: see `kept_path`.
"""

import contextlib
import hashlib
import importlib.metadata
import os
from pathlib import Path
from typing import Any

import jax

from tpsm_jax.errors import InputError
from tpsm_jax.runtime.atomic_files import replace_bytes
from tpsm_jax.runtime.cache_upkeep import limit_size, remove_damaged_entries
from tpsm_jax.runtime.local_paths import expand_home

# The folders of this package whose code decides what a kept program computes. Editing another file
# keeps all programs.
TRACED = ("animation", "backends", "models", "nn", "ops")


def default_cache_folder() -> Path | None:
    """A folder of the user's own: under $XDG_CACHE_HOME, or ~/.cache; None without a home.

    A folder that anybody may write to would not do, for what is kept there is run.
    """
    try:
        root = expand_home(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    except InputError:
        return None
    return Path(root) / "tpsm_jax" / "xla"


def use_compilation_cache(folder: str | Path | None = None) -> None:
    """Lets JAX keep and find compiled programs in a folder, of 4 GiB at most.

    Entries that cannot be read are made again. The folder that JAX is configured with may belong to
    others, so nothing is removed from it for its size.

    Args:
      folder: made if missing; "none" leaves JAX as it is. If None, the folder that JAX is
        configured with (JAX_COMPILATION_CACHE_DIR), else `default_cache_folder()`. A folder that
        cannot be written, or a user without a home, is no error: one then compiles. Several
        processes on CPUs have none: the first would find its programs and the others, whose
        programs JAX does not keep, would compile theirs, for longer than the 30 seconds that it
        waits for them in its first step.
    """
    if folder == "none":
        return
    several = jax.distributed.is_initialized() and jax.process_count() > 1
    if several and jax.default_backend() == "cpu":
        jax.config.update("jax_enable_compilation_cache", False)
        return
    configured = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        # Not only what took a second to compile: a run has many small programs.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    chosen = folder or (default_cache_folder() if not configured else None)
    if chosen is None and not configured:
        return
    place = expand_home(str(chosen or configured))
    jax.config.update("jax_compilation_cache_dir", place)
    if chosen is not None:
        limit_size(Path(place))
    if "://" not in place:
        remove_damaged_entries(Path(place))


def kept_path(name: str, *key: Any) -> Path | None:
    """Returns where to keep a result that depends on `key` and on the code of traced functions.

    Args:
      name: beginning of the file's name.
      *key: whatever else the result depends on; its `repr` must be the same in every process.

    Returns:
      A path in the folder where JAX keeps compiled programs. It differs whenever the code that is
      traced (see `TRACED`), the device, JAX or its settings differ. None if JAX keeps no programs,
      or not on this machine.
    """
    folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    enabled = jax.config.jax_enable_compilation_cache  # type: ignore[attr-defined]
    if not (enabled and folder) or "://" in folder:
        return None
    device = jax.devices()[0].device_kind
    key = (*key, _CODE, device, sorted(jax.config.values.items()))
    digest = hashlib.sha256(repr(key).encode()).hexdigest()
    return Path(folder) / f"tpsm_jax-{name}-{digest[:32]}"


def keep(path: Path, content: bytes) -> None:
    """Writes a file of `kept_path`, whole or not at all.

    Args:
      path: the file to write; its folder is made if missing.
      content: all of it. It is no error if it cannot be written.
    """
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_bytes(path, content)


def _digest_code(package: Path) -> str:
    """Hashes the files that define traced functions, and the versions of what traces them."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in TRACED for path in (package / folder).rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(package)} {len(content)} ".encode() + content)
    for name in ("jax", "jaxlib", "flax"):
        digest.update(f"{name} {importlib.metadata.version(name)} ".encode())
    return digest.hexdigest()


# Computed at import: a file that is edited later is not what this process runs.
_CODE = _digest_code(Path(__file__).parent.parent)
