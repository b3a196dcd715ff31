"""Compiled programs kept on disk, so that only a machine's first run compiles.

In the same folder is kept what else follows from this package's code: see `kept_path`.
"""

import contextlib
import hashlib
import importlib.metadata
import os
from pathlib import Path
from typing import Any

import jax

from tpsm_jax.backends.backend import backend
from tpsm_jax.runtime.replace_file import replace_bytes


def default_cache_folder() -> Path:
    """A folder of the user's own: under $XDG_CACHE_HOME, or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tpsm_jax" / "xla"


def use_compilation_cache(folder: str | Path | None = None) -> None:
    """Lets JAX keep and find compiled programs in a folder.

    Args:
      folder: made if missing; "none" leaves JAX as it is. If None, what JAX was told already
        (JAX_COMPILATION_CACHE_DIR), else `default_cache_folder()`. A folder that cannot be
        written is no error: one then compiles. Several processes on CPUs have none: the first
        would find its programs and the others, whose programs JAX does not keep, would compile
        theirs, for longer than the 30 seconds that it waits for them in its first step.
    """
    if folder == "none":
        return
    several = jax.distributed.is_initialized() and jax.process_count() > 1
    if several and jax.default_backend() == "cpu":
        jax.config.update("jax_enable_compilation_cache", False)
        return
    told = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        # Not only what took a second to compile: a run has many small programs.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_compilation_cache_dir", str(folder or told or default_cache_folder()))


def kept_path(name: str, *key: Any) -> Path | None:
    """Where to keep something that follows from `key` and from this package's code.

    Args:
      name: what the file's name begins with.
      *key: whatever has a `repr` that is the same in every process.

    Returns:
      A path in the folder where JAX keeps compiled programs, another one whenever the code, the
      device, JAX or its settings are others. None where JAX keeps none, or not on this machine.
    """
    folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    enabled = jax.config.jax_enable_compilation_cache  # type: ignore[attr-defined]
    if not (enabled and folder) or "://" in folder:
        return None
    device = jax.devices()[0].device_kind
    key = (*key, _CODE, backend(), device, sorted(jax.config.values.items()))
    digest = hashlib.sha256(repr(key).encode()).hexdigest()
    return Path(folder) / f"tpsm_jax-{name}-{digest[:32]}"


def keep(path: Path, content: bytes) -> None:
    """Writes a file of `kept_path`, whole or not at all.

    Args:
      path: of the file; its folder is made if missing.
      content: all of it. It is no error if it cannot be written.
    """
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_bytes(path, content)


def _digest_code() -> str:
    """Of this package's files, and of the versions of what traces them."""
    digest = hashlib.sha256()
    package = Path(__file__).parent.parent
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(package)} {len(content)} ".encode() + content)
    for name in ("jax", "jaxlib", "flax"):
        digest.update(f"{name} {importlib.metadata.version(name)} ".encode())
    return digest.hexdigest()


# As imported: files that are edited later are not what this process runs.
_CODE = _digest_code()
