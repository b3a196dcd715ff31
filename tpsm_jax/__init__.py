"""Thin-Plate Spline Motion Model for image animation, in JAX and Flax."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tpsm_jax.checkpoints import load_checkpoint as load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    # JAX is imported by those who load a model, and not by each process that only reads clips.
    if name != "load":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tpsm_jax.checkpoints import load_checkpoint

    return load_checkpoint
