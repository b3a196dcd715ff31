"""Compiled programs kept on disk, so that only a machine's first run compiles."""

import argparse
import os
from pathlib import Path

import jax


def default_cache_folder() -> Path:
    """A folder of the user's own: under $XDG_CACHE_HOME, or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tpsm_jax" / "xla"


def add_cache_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --compilation_cache, whose value is for `use_compilation_cache`."""
    parser.add_argument(
        "--compilation_cache",
        help="folder to keep compiled programs in, or 'none' "
        "(JAX_COMPILATION_CACHE_DIR, else a folder in ~/.cache)",
    )


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
