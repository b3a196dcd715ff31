"""What is compiled, by name, as it happens."""

import contextlib
from collections.abc import Iterator

import jax

_EVENT = "/jax/core/compile/backend_compile_duration"


@contextlib.contextmanager
def compilations() -> Iterator[list[str]]:
    """A list that grows by the name of each program that is compiled, or taken from a cache."""
    names: list[str] = []

    def listen(event: str, duration: float, **about: str | int) -> None:
        if event == _EVENT:
            names.append(str(about["fun_name"]))

    def probe(x: jax.Array) -> jax.Array:
        return x + 1

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        jax.jit(probe)(1.0)
        assert names == ["jit(probe)"], "JAX names what it compiles in another way"
        names.clear()
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
