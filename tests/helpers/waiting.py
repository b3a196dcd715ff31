"""Waiting for a state: no test depends on how fast the machine is."""

import time
from collections.abc import Callable
from typing import Any

# Far more than a busy machine needs, so that only what will never be ends here.
LIMIT = 900


def wait_until(condition: Callable[[], Any], *, seconds: float = LIMIT) -> None:
    """Returns once `condition()` is true; fails after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"this has not come within {seconds} s"
        time.sleep(0.005)
