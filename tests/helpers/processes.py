"""Commands run as processes of their own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from tests.helpers.paths import ROOT
from tests.helpers.waiting import LIMIT, wait_until

# What conftest.py sets for tests: bits depend on how many devices share a processor.
LIKE_A_TEST = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "8"}

# Warnings are errors, but for one: processes share compiled programs, see conftest.py, and one may
# look while another is writing.
STRICT = ("-W", "error", "-W", "ignore:Error reading persistent compilation cache entry")

# A process that is to be killed only reads the programs that tests share: JAX does not write them
# at once, and others would find half of one.
DOOMED = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1e9"}

_STARTED: list[subprocess.Popen[str]] = []


def start_python(*arguments: str, **environ: str) -> subprocess.Popen[str]:
    """Starts Python in the project's root, in a group of its own, with one pipe for all it says."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    _STARTED.append(process)
    return process


def end_all() -> None:
    """Ends what a failed test has left: its pipe, collected later, would fail another test."""
    while _STARTED:
        process = _STARTED.pop()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        if process.stdout and not process.stdout.closed:
            process.communicate()


def output_of(process: subprocess.Popen[str]) -> str:
    """All that a process says, once it has ended; one that does not end is killed, and fails."""
    try:
        return process.communicate(timeout=LIMIT)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise AssertionError(process.communicate()[0]) from None


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    """Returns once `condition()` is true; fails if the process ends before that."""

    def met() -> Any:
        # Asked first: what an ended process has left does not change.
        ended = process.poll() is not None
        return condition() or (ended and _fail(process))

    wait_until(met)


def kill_while(
    condition: Callable[[], Any], process: subprocess.Popen[str], *, alone: bool = False
) -> None:
    """Kills a process (kill -9) at a moment when `condition()` is true.

    It is stopped for a second look, so that the state is still the one it is killed in.

    Args:
      condition: a check of what the process leaves on disk.
      process: the process that `start_python` started.
      alone: leave the processes that it started alive; they then must end by themselves.
    """
    while True:
        wait_for(condition, process)
        # Not the group: a child stopped between vfork and exec would keep its parent, which waits
        # for the exec, from ever being stopped.
        os.kill(process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if condition():
            (os.kill if alone else os.killpg)(process.pid, signal.SIGKILL)
            output_of(process)
            return
        os.kill(process.pid, signal.SIGCONT)


def _fail(process: subprocess.Popen[str]) -> None:
    raise AssertionError(f"it ended before: {process.communicate()[0]}")
