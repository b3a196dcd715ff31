"""Commands run as processes of their own."""

import os
import subprocess
import sys

from tests.helpers.paths import ROOT
from tpsm_jax.runtime.quick_compile import QUICK_OPTIONS

# What compiles in a fraction of the time, for whole models.
QUICKLY = {
    "XLA_FLAGS": " ".join(f"--{name}={int(value)}" for name, value in QUICK_OPTIONS.items()),
}

# What conftest.py sets, and its fixture `compiled_quickly`: bits depend on how many devices share a
# processor.
LIKE_A_QUICK_TEST = {
    "JAX_PLATFORMS": "cpu",
    "JAX_NUM_CPU_DEVICES": "8",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
}


def start_python(*arguments: str, **environ: str) -> subprocess.Popen[str]:
    """Starts Python in the project's root, in a group of its own, with one pipe for all it says."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
