"""Thin-Plate Spline Motion Model for image animation, in JAX and Flax."""
