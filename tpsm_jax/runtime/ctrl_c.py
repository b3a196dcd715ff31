"""What Ctrl-C does: where a script has nothing to clean up, and where Python loses it."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator


def end_quietly() -> None:
    """Lets Ctrl-C end the process without a traceback, until `cli.run_script` takes it over.

    For the top of a script, above imports that take seconds. There is nothing to clean up yet, and
    modules written in C turn a `KeyboardInterrupt` into errors of their own.
    """
    # Shells and nohup start jobs in the background that ignore Ctrl-C.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def raise_again() -> None:
    """Lets Ctrl-C raise `KeyboardInterrupt` after `end_quietly`."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def raising() -> Iterator[None]:
    """Lets Ctrl-C raise `KeyboardInterrupt` within the block, which has something to clean up."""
    quiet = signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    quiet = quiet and threading.current_thread() is threading.main_thread()
    if quiet:
        raise_again()
    try:
        yield
    finally:
        if quiet:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def sent_again(number: int, error: type[BaseException]) -> Iterator[None]:
    """Within the block, sends a signal again whose exception Python has dropped.

    Python runs signal handlers anywhere, also in callbacks that cannot raise: the garbage
    collector's, of which JAX has one, and `__del__`. There it prints the exception and goes on.

    Args:
      number: the signal.
      error: what its handler raises.
    """
    before = sys.unraisablehook

    def hook(dropped: "sys.UnraisableHookArgs") -> None:
        if not issubclass(dropped.exc_type, error):
            before(dropped)
            return
        # From another thread, once the callback is over: here it would be dropped once more.
        again = threading.Timer(0.01, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
