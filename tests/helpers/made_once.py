"""Folders that take seconds to make, made once for all workers of a test run."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Returns a folder that the first worker to ask for it makes; the others wait meanwhile.

    Tests in several files read it, and copy what they change.

    Args:
      factory: pytest's fixture `tmp_path_factory`.
      name: the folder's name, one for each `make`.
      make: fills an empty folder.
    """
    place = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # then each worker's folder lies in a common one
        place = place.parent
    folder = place / name
    with open(place / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = factory.mktemp(f"{name}-unfinished")
            make(unfinished)
            unfinished.rename(folder)
    return folder
