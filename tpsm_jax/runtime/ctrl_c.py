"""What Ctrl-C does where a script has nothing to clean up: while it imports, before training."""

import contextlib
import signal
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
