"""Compiler options that make programs that run once quick to compile."""

import importlib.metadata
from typing import Any

import jax

# XLA's own names, for `quick_compiler_options`.
QUICK_OPTIONS = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
if importlib.metadata.version("jaxlib") == "0.10.2":
    # The emitters of fused loops by way of MLIR take as long as all the rest. Of that rest a fifth
    # goes into cutting the code into parts for several cores (two cores gain nothing by them).
    # Another release may not know the options, and refuse them.
    QUICK_OPTIONS["xla_cpu_use_fusion_emitters"] = False
    QUICK_OPTIONS["xla_cpu_parallel_codegen_split_count"] = 1


def quick_compiler_options() -> dict[str, Any] | None:
    """Compiler options for programs that run once, for `jax.jit`.

    Returns:
      Options that skip LLVM's expensive passes, so that a CPU compiles in a fraction of the time;
      None on other backends, which may refuse them.
    """
    if jax.default_backend() != "cpu":
        return None
    return QUICK_OPTIONS
