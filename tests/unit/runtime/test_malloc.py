import os
import subprocess
import sys

import pytest

from tests.helpers.paths import ROOT

# Pages that the system gives to a block of 64 MiB, asked for again and again.
COUNT_PAGES = """
import resource, tpsm_jax.runtime.malloc
tpsm_jax.runtime.malloc.keep_freed_memory()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = b"x" * 2**26
    del block
    pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(pages)
"""


@pytest.mark.slow
def test_what_is_freed_is_used_again() -> None:
    # A user's own settings stay.
    given_back = count_pages("glibc.malloc.mmap_threshold=1048576")
    assert count_pages(None) < given_back / 8


def count_pages(tunables: str | None) -> int:
    """In a process of its own."""
    environ = {**os.environ, "JAX_PLATFORMS": "cpu"}
    environ.pop("GLIBC_TUNABLES", None)
    if tunables is not None:
        environ["GLIBC_TUNABLES"] = tunables
    done = subprocess.run(
        [sys.executable, "-c", COUNT_PAGES],
        env=environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)
