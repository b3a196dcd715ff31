"""Traced programs kept on disk for the next start.

JAX keeps compiled programs (`compilation_cache`), but finds them only after tracing everything
again.
"""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.export
import numpy as np

from tpsm_jax.runtime.compilation_cache import keep, kept_path
from tpsm_jax.runtime.program_memory import check_program_fits

_Program = Callable[..., Any]
_DIGEST = hashlib.sha256


class KeptPrograms:
    """Calls jitted functions of a model, `function(model, *arguments, **static)`.

    Each is traced once for arguments of the same structure, shapes and types, with JAX's settings
    at its first call. Other processes read it from disk: see `kept_path` for where, and for when
    nothing is kept.
    """

    def __init__(self, model: Any, *, traced_for: Callable[[], str]):
        """Keeps programs of a model.

        Args:
          model: made of this package's modules only; changes in other code would go unnoticed.
          traced_for: names what decides between the forms of the operations, at every call:
            `backends.backend.backend`. Programs with different names are kept apart.
        """
        self._model = model
        self._traced_for = traced_for
        self._programs: dict[Any, _Program] = {}

    def __call__(self, function: Any, *arguments: Any, **static: Any) -> Any:
        """Calls a function.

        Args:
          function: jitted, its first argument static.
          *arguments: trees of arrays, those behind the model.
          **static: values that it is compiled for.

        Returns:
          What `function(model, *arguments, **static)` does, to the bit.

        Raises:
          InputError: at the first call, if the program does not fit into memory.
        """
        leaves, structure = jax.tree.flatten(arguments)
        shapes = tuple((leaf.shape, np.dtype(leaf.dtype).name) for leaf in leaves)
        signature = function, structure, shapes, tuple(static.items()), self._traced_for()
        if signature not in self._programs:
            program: _Program = functools.partial(function, self._model, **static)
            lower = functools.partial(function.lower, self._model, **static)
            path = kept_path(function.__name__, self._model, *signature[1:])
            # A program is exported for as many devices as it was traced for.
            arrays = [leaf for leaf in leaves if isinstance(leaf, jax.Array)]
            if path and all(len(array.devices()) == 1 for array in arrays):
                kept = _keep_traced(path, program, arguments)
                if kept is not None:
                    program, lower = kept, kept.lower
            check_program_fits(functools.partial(lower, *arguments))
            self._programs[signature] = program
        return self._programs[signature](*arguments)


def _keep_traced(path: Path, program: _Program, arguments: tuple[Any, ...]) -> Any:
    """`program` as it was kept, or kept now, jitted; None where JAX cannot export it."""
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    digest, serialized = content[: _DIGEST().digest_size], content[_DIGEST().digest_size :]
    if serialized and digest == _DIGEST(serialized).digest():
        return jax.jit(jax.export.deserialize(bytearray(serialized)).call)
    try:
        exported = jax.export.export(jax.jit(program))(*arguments)
        serialized = bytes(exported.serialize())
    except (ValueError, NotImplementedError):
        return None
    keep(path, _DIGEST(serialized).digest() + serialized)
    return jax.jit(exported.call)
