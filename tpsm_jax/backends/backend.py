"""The backend that a computation is written for, where that decides how it is written."""

import jax

# The default backend if None. JAX's caches keep apart what is traced with different values.
written_for = jax.make_user_context(None)


def backend() -> str:
    """'cpu', 'gpu' or 'tpu'; others by JAX's name of them."""
    return written_for.value or jax.default_backend()
