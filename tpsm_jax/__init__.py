"""Thin-Plate Spline Motion Model for image animation, in JAX and Flax."""

from tpsm_jax.checkpoints import load_checkpoint as load

__all__ = ["load"]
