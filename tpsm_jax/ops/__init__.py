"""Geometry and resampling on plain arrays, one example at a time: callers `jax.vmap`."""
