"""The backend that a trace is for, which decides between the forms of an operation.

`TPSM_PLAIN=1` in the environment turns all special forms off, for debugging. It is read once, at
import, because JAX's trace caches would not notice a later change.
"""

import os

import jax

# Overrides the backend within a block: `with tracing_for("gpu"):`, or "plain" for plain forms. If
# None, it is JAX's default backend. JAX's caches keep traces with different values apart.
tracing_for = jax.make_user_context(None)

_ALWAYS_PLAIN = os.environ.get("TPSM_PLAIN", "") not in ("", "0")


def backend() -> str:
    """Returns what forms are chosen for: 'cpu', 'gpu', 'tpu', or 'plain' for plain XLA forms.

    Every choice between forms asks this function. 'plain' takes precedence: `TPSM_PLAIN=1` holds
    within `tracing_for` too.
    """
    if _ALWAYS_PLAIN:
        return "plain"
    return tracing_for.value or jax.default_backend()
