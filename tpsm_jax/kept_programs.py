"""What was traced and checked once, kept beside the compiled programs for the next start.

JAX keeps what it compiled (`compilation_cache`), but finds it only after tracing everything anew.
"""

import contextlib
import functools
import hashlib
import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.export
import numpy as np

from tpsm_jax.ops.backend import backend
from tpsm_jax.replace_file import replace_bytes

_Program = Callable[..., Any]


def kept_place(name: str, *told: Any) -> Path | None:
    """Where to keep something that follows from `told` and from this package's code.

    Args:
      name: what a file's name begins with.
      told: whatever has a `repr` that is the same in every process.

    Returns:
      A path in the folder where JAX keeps compiled programs, another one whenever the code, the
      backend, JAX or its settings are others; None if there is no such folder on this machine.
    """
    folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if not folder or "://" in folder:
        return None
    settings = sorted(jax.config.values.items())
    told = (*told, _code(), backend(), settings)
    digest = hashlib.sha256(repr(told).encode()).hexdigest()
    return Path(folder) / f"tpsm_jax-{name}-{digest[:32]}"


def keep(place: Path, content: bytes) -> None:
    """Writes a file, if it can be written."""
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        replace_bytes(place, content)


class KeptPrograms:
    """Calls jitted functions of one model, `function(model, *arguments, **static)`.

    Each is traced once for arguments of a kind, and taken from disk in other processes. For models
    of this package's modules alone: what others consist of would not be noticed to have changed.
    """

    def __init__(self) -> None:
        self._programs: dict[Any, _Program] = {}

    def __call__(self, function: Any, model: Any, *arguments: Any, **static: Any) -> Any:
        leaves, structure = jax.tree.flatten(arguments)
        shapes = tuple((leaf.shape, np.dtype(leaf.dtype).name) for leaf in leaves)
        kind = function.__name__, structure, shapes, tuple(static.items())
        if kind not in self._programs:
            place = kept_place(function.__name__, model, *kind[1:])
            bound = functools.partial(function, model, **static)
            self._programs[kind] = _program(place, bound, arguments) if place else bound
        return self._programs[kind](*arguments)


def _program(place: Path, function: _Program, arguments: tuple[Any, ...]) -> _Program:
    try:
        exported = jax.export.deserialize(bytearray(place.read_bytes()))
    except Exception:  # there is none, or whatever a damaged file leads to
        exported = jax.export.export(jax.jit(function))(*arguments)
        keep(place, bytes(exported.serialize()))
    return jax.jit(exported.call)


@functools.cache
def _code() -> str:
    """A digest of this package's files and of the versions of what traces them."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    for name in ("jax", "jaxlib", "flax"):
        digest.update(importlib.metadata.version(name).encode())
    return digest.hexdigest()
