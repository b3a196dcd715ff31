import os
import subprocess
import sys
from pathlib import Path

import pytest

# Pages that the system gives to a block of 64 MiB, asked for again and again.
COUNT_PAGES = """
import resource, tpsm_jax.cpu_memory
tpsm_jax.cpu_memory.keep_freed_memory()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = b"x" * 2**26
    del block
    pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(pages)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tunables", "is_kept"), [(None, True), ("glibc.malloc.mmap_threshold=1048576", False)]
)
def test_what_is_freed_is_used_again(tunables: str | None, is_kept: bool) -> None:
    environ = {**os.environ, "JAX_PLATFORMS": "cpu"}
    environ.pop("GLIBC_TUNABLES", None)
    if tunables is not None:  # the user's own stay
        environ["GLIBC_TUNABLES"] = tunables
    pages = int(
        subprocess.run(
            [sys.executable, "-c", COUNT_PAGES],
            env=environ,
            cwd=Path(__file__).parent.parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    assert pages < 100 if is_kept else pages > 16_000
