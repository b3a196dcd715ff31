"""What only a family's official checkpoints have; one module per family."""

from collections.abc import Mapping
from typing import Any

from tpsm_jax.checkpoints.torch.layouts.interface import Layout
from tpsm_jax.checkpoints.torch.layouts.tpsm import TPSM
from tpsm_jax.models.registry import family_of

__all__ = ["LAYOUTS", "Layout", "layout_of"]

LAYOUTS = {"tpsm": TPSM}


def layout_of(model_params: Mapping[str, Any]) -> Layout:
    """Finds the layout of the PyTorch checkpoints of a config's family.

    A family without an entry has the default one: its networks' state dicts, and nothing else.

    Args:
      model_params: a config's section, as for `tpsm_jax.models.registry.build_model`.

    Raises:
      InputError: there is no such family.
    """
    return LAYOUTS.get(family_of(model_params).name, Layout())
