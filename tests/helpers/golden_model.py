"""The library's model with procedural weights, imported as official weights are."""

from collections.abc import Mapping
from typing import Any

from tests.helpers.procedural import procedural_checkpoint
from tpsm_jax.checkpoints.torch import variables_from_torch
from tpsm_jax.models.registry import build_model
from tpsm_jax.models.tpsm import MotionModel


def procedural_model(
    params: Mapping[str, Any], seed: int = 0, **options: Any
) -> tuple[MotionModel, dict[str, Any]]:
    """The model (`options` go to `build_model`) and its variables."""
    variables, _ = variables_from_torch(procedural_checkpoint(params, seed), params)
    return build_model(params, **options), variables
