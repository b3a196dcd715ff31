"""Stopping in time: a SIGTERM or Ctrl-C asks for a last checkpoint."""

import os
import signal
import threading
from typing import Any, Self

import jax
from jax.experimental import multihost_utils


class Preemption:
    """Within the `with` block a SIGTERM or Ctrl-C only sets a mark, which `reached` returns.

    Where several processes train together, JAX's own service catches the SIGTERM and agrees with
    the others on a step, so that all save the same. Ctrl-C in one of them is passed on to it.

    Attributes:
      interrupted: whether it was Ctrl-C.
    """

    def __init__(self) -> None:
        """Starts with no signal seen."""
        self.interrupted = False
        self._asked = False
        self._questions = 0
        self._before: dict[signal.Signals, Any] = {}
        # Python allows handlers in the main thread alone.
        self._installs = threading.current_thread() is threading.main_thread()

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
        """Installs the handlers."""
        if self._installs:
            # Shells and nohup start jobs in the background that ignore Ctrl-C.
            if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
                self._before[signal.SIGINT] = signal.signal(signal.SIGINT, self._interrupt)
            if not jax.distributed.is_initialized():
                self._before[signal.SIGTERM] = signal.signal(signal.SIGTERM, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        """Restores the handlers that were there before."""
        for number in self._before:
            self._restore(number)

    def _restore(self, number: signal.Signals) -> None:
        signal.signal(number, self._before[number] or signal.SIG_DFL)

    def _ask(self, *_: object) -> None:
        self._asked = True
        self._restore(signal.SIGTERM)  # a second signal ends the process at once

    def _interrupt(self, *_: object) -> None:
        if self.interrupted:
            # Not by an exception, which would wait for a checkpoint that is being written.
            os.write(2, b"\ninterrupted again: ended at once; the same command resumes\n")
            os._exit(128 + signal.SIGINT)
        self.interrupted = True
        os.write(2, b"\ninterrupted: saving; once more ends at once\n")
        if jax.distributed.is_initialized():
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            self._asked = True
