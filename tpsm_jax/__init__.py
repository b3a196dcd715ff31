"""Thin-Plate Spline Motion Model for image animation, in JAX and Flax.

The public names are those of `__all__`. Each is imported at its first use, so a process that only
reads clips does not import JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

from tpsm_jax import renamed

if TYPE_CHECKING:
    from tpsm_jax import ops
    from tpsm_jax.animation.animator import Animator
    from tpsm_jax.checkpoints.converted import load_checkpoint as load
    from tpsm_jax.media import visualize

__all__ = ["Animator", "load", "ops", "visualize"]

_PLACES = {
    "Animator": ("tpsm_jax.animation.animator", "Animator"),
    "load": ("tpsm_jax.checkpoints.converted", "load_checkpoint"),
    "ops": ("tpsm_jax.ops", None),
    "visualize": ("tpsm_jax.media.visualize", None),
}

renamed.install()


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    found = importlib.import_module(module)
    return found if attribute is None else getattr(found, attribute)
