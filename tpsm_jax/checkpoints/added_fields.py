"""Fields that `model_params` did not always have, and what a config without them means.

An older run or checkpoint lacks them. Its config is equal to one that has them at these values.
"""

from collections.abc import Mapping
from typing import Any

from tpsm_jax.models.registry import DEFAULT_FAMILY

ADDED: dict[str, Any] = {
    "family": DEFAULT_FAMILY,
    "kp_detector_params": {"width": 64, "blocks": 2, "spread_points": False},
    "bg_predictor_params": {"width": 64, "blocks": 2},
    "dense_motion_params": {"warps": "tps"},
}


def with_added_fields(model_params: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `model_params` that has all of `ADDED`, for comparing field by field."""
    return {**model_params, **_merged(ADDED, model_params)}


def without_added_fields(model_params: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `model_params` as an older config has it, for checksums.

    Fields at the values of `ADDED` are left out, and sections that have no other field.
    """
    return {
        name: _others(value, ADDED[name]) if isinstance(value, Mapping) and name in ADDED else value
        for name, value in model_params.items()
        if not _is_added(value, ADDED.get(name))
    }


def _merged(added: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {**default, **(given.get(name) or {})}
        if isinstance(default, Mapping) and isinstance(given.get(name) or {}, Mapping)
        else given.get(name, default)
        for name, default in added.items()
    }


def _is_added(value: Any, default: Any) -> bool:
    if isinstance(value, Mapping) and isinstance(default, Mapping):
        return not _others(value, default)
    return default is not None and value == default


def _others(section: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in section.items() if k not in defaults or v != defaults[k]}
