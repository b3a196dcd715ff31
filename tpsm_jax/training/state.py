"""Everything that training changes."""

from typing import Any

import jax
from flax import struct

from tpsm_jax.models.interface import Variables


class TrainState(struct.PyTreeNode):
    """What a step takes and gives back, and what a checkpoint keeps.

    Attributes:
      step: [] int32, steps taken. Data order and randomness follow from it and the seed.
      params: {network: ...}, float32.
      batch_stats: {network: ...}, running statistics.
      opt_state: {optimizer: its state}.
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
