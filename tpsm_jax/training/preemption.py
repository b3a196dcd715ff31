"""Stopping in time: a SIGTERM asks for a last checkpoint."""

import signal
import threading
from typing import Any, Self

import jax
from jax.experimental import multihost_utils


class Preemption:
    """Within the `with` block a SIGTERM only sets a mark, which `reached` returns.

    Where several processes train together, JAX's own service catches the signal and agrees with
    the others on a step, so that all save the same.
    """

    def __init__(self) -> None:
        """Starts with no signal seen."""
        self._asked = False
        self._questions = 0
        self._before: Any = None
        # Python allows handlers in the main thread alone.
        self._installs = (
            not jax.distributed.is_initialized()
            and threading.current_thread() is threading.main_thread()
        )

    def reached(self) -> bool:
        """Whether to stop here; once true it stays true.

        A collective: every process calls it at the same points, e.g. before every step.
        """
        if jax.distributed.is_initialized() and not self._asked:
            # The processes agree on the number of a call to come; for later ones JAX says no again.
            self._questions += 1
            self._asked = multihost_utils.reached_preemption_sync_point(self._questions)
        return self._asked

    def __enter__(self) -> Self:
        """Installs the handler."""
        if self._installs:
            self._before = signal.signal(signal.SIGTERM, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        """Restores the handler that was there before."""
        if self._installs:
            signal.signal(signal.SIGTERM, self._before or signal.SIG_DFL)

    def _ask(self, *_: object) -> None:
        self._asked = True
        # A second signal ends the process at once.
        signal.signal(signal.SIGTERM, self._before or signal.SIG_DFL)
