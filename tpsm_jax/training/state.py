"""Everything that training changes."""

import importlib.metadata
from typing import Any

import jax
from flax import struct

from tpsm_jax.models.interface import Variables


class TrainState(struct.PyTreeNode):
    """What a step takes and gives back, and what a checkpoint keeps.

    Attributes:
      step: [] int32, batches gone through. Data order and randomness follow from it and the seed.
      params: {network: ...}, float32.
      batch_stats: {network: ...}, running statistics.
      opt_state: {optimiser: its state}.
      ema_params: like `params`, their exponential moving average; None where it is not kept.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any
    ema_params: Any = None

    def variables(self) -> Variables:
        """What evaluation applies: the averaged parameters where they are kept."""
        params = self.params if self.ema_params is None else self.ema_params
        return {"params": params, "batch_stats": self.batch_stats}


# XLA's own names, for `quick_compiler_options`.
QUICK_OPTIONS = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
if importlib.metadata.version("jaxlib") == "0.10.2":
    # The emitters of fused loops by way of MLIR take as long as all the rest. Of that rest a fifth
    # goes into cutting the code into parts for several cores (two cores gain nothing by them).
    # Another release may not know the options, and refuse them.
    QUICK_OPTIONS["xla_cpu_use_fusion_emitters"] = False
    QUICK_OPTIONS["xla_cpu_parallel_codegen_split_count"] = 1


def quick_compiler_options() -> dict[str, Any] | None:
    """For `jax.jit` of what runs once, and spends most of its time being compiled.

    Returns:
      Options that leave the code behind XLA's own optimisations as it comes, which a CPU compiles
      in a fraction of the time; None on other backends, which may refuse them.
    """
    if jax.default_backend() != "cpu":
        return None
    return QUICK_OPTIONS
