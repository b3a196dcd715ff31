"""Which values each field of a config may have, one by one; `config.validate` checks them together.

The bounds above are far beyond what anyone trains. They keep a slip of the keyboard from tracing
networks for hours.
"""

import dataclasses
import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any

from tpsm_jax.errors import InputError
from tpsm_jax.models.dense_motion import FITS
from tpsm_jax.models.registry import MOST_BLOCKS, is_whole

_LARGEST_STEP = 2**31 - 1  # steps are counted in int32


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a value must be.

    Attributes:
      text: the rule in words, to follow "must be".
      holds: whether a value keeps it; may raise TypeError for one of another type.
    """

    text: str
    holds: Callable[[Any], bool]


def check_fields(config: Mapping[str, Any]) -> None:
    """Checks the type and the range of every field that training reads.

    Args:
      config: the config of the experiment.

    Raises:
      InputError: names the field that is missing, or whose value is invalid.
    """
    _, puppets = _value(config, "dataset_params.puppets")
    may_lack = _MAY_LACK if puppets else (*_MAY_LACK, "dataset_params.puppets")
    for name in ("dataset_params.augmentation_params", *FIELDS):
        found, value = _value(config, name)
        if not found and not name.startswith(may_lack):
            raise InputError(f"the config has no field {name}")
        rule = FIELDS.get(name)
        if not found or rule is None:
            continue
        if not _holds(rule, value):
            raise InputError(f"config.{name} is {_shown(value)} and must be {rule.text}")


def _value(config: Any, name: str) -> tuple[bool, Any]:
    """Whether the config has a field, and its value. A section that is None has no fields."""
    value: Any = config
    passed = "config"
    for key in name.split("."):
        if value is None:
            return False, None
        if not isinstance(value, Mapping) and not hasattr(value, "items"):
            raise InputError(f"{passed} is {_shown(value)} and must be a section of fields")
        if key not in value:
            return False, None
        value = value[key]
        passed += f".{key}"
    return True, value


def _holds(rule: Rule, value: Any) -> bool:
    try:
        return bool(rule.holds(value))
    except (TypeError, ValueError, OverflowError):
        return False


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _whole(least: int, most: int = _LARGEST_STEP) -> Rule:
    text = f"at least {least}"
    if most != _LARGEST_STEP:
        text += f" and at most {most}"
    return Rule(f"{text}, a whole number", lambda value: is_whole(value) and least <= value <= most)


def _number(least: float = -math.inf, *, above: float = -math.inf, most: float = 1e30) -> Rule:
    bounds = [f"at least {least:g}"] if least > -math.inf else []
    bounds += [f"above {above:g}"] if above > -math.inf else []
    bounds += [f"at most {most:g}"] if most < 1e30 else []
    return Rule(
        ", ".join(["a number", " and ".join(bounds)] if bounds else ["a number"]),
        # NaN and infinity fail the last.
        lambda x: _is_number(x) and least <= x and above < x and abs(x) < 1e30 and x <= most,
    )


def _several(rule: Rule, what: str, *, least: int = 0) -> Rule:
    at_least = f", at least {least}" if least else ""
    return _sequence(rule, f"a tuple of {what}{at_least}", lambda length: length >= least)


def _pair(rule: Rule, text: str) -> Rule:
    return _sequence(rule, text, lambda length: length == 2)


def _sequence(rule: Rule, text: str, is_length: Callable[[int], bool]) -> Rule:
    return Rule(
        text,
        lambda value: (
            isinstance(value, tuple | list)
            and is_length(len(value))
            and all(_holds(rule, item) for item in value)
        ),
    )


def _or_none(rule: Rule) -> Rule:
    return Rule(f"None or {rule.text}", lambda value: value is None or rule.holds(value))


def _either(*rules: Rule) -> Rule:
    return Rule(
        " or ".join(rule.text for rule in rules),
        lambda value: any(_holds(rule, value) for rule in rules),
    )


def _rising(value: Any) -> bool:
    return value[0] <= value[1]


_FLAG = Rule("True or False", lambda value: isinstance(value, bool))
_TEXT = Rule("text", lambda value: isinstance(value, str) and "\0" not in value)
_SIDE = _whole(1, 2**16)
_SHARE = _number(0, most=1)
_BELOW_ONE = Rule(
    "a number, at least 0 and below 1", lambda value: _is_number(value) and 0 <= value < 1
)
_WEIGHT = _number()
_RATIO = _pair(_number(above=0, most=100), "(smallest, largest) scale, above 0 and at most 100")

# What a config may lack: what that means is for those that read it.
_MAY_LACK = (
    "model_params.",
    "dataset_params.augmentation_params.",
    "dataset_params.frame_shape",
    "train_params.loss_weights.keypoints",
    "train_params.loss_weights.bg_points",
    "train_params.loss_weights.bg_equivariance",
    "train_params.loss_weights.contribution",
)

FIELDS: dict[str, Rule] = {
    "image_size": _pair(_SIDE, f"(height, width), whole numbers from 1 to {2**16}"),
    "seed": _whole(0, 2**32 - 1),  # JAX would take another for the same number
    "total_steps": _whole(0),
    "log_every": _whole(1),
    "picture_every": _whole(0),
    "checkpoint_every": _whole(0),
    "keep_checkpoints": _whole(1),
    "skip_nonfinite_steps": _whole(0),
    "skip_broken": _whole(0),
    "tensorboard": _FLAG,
    "eval_every": _whole(0),
    "eval_clips": _whole(1),
    "eval_frames": _whole(1),
    "perceptual_features": _TEXT,
    "vgg19_dir": _TEXT,
    "compute_dtype": _TEXT,
    "remat": _several(_TEXT, "names"),
    "accumulate_steps": _whole(1),
    "state_sharding": _TEXT,
    "ema_decay": _BELOW_ONE,
    "dropout_rescale": _FLAG,
    "warmup_steps": _whole(0),
    "optimizer": _TEXT,
    "optimizer_params": Rule("a section of fields", lambda value: hasattr(value, "items")),
    "init_from": _TEXT,
    "init_networks": _several(_TEXT, "names"),
    "freeze": _several(_TEXT, "regular expressions"),
    "dataset.path": _TEXT,
    "dataset.mix_paths": _several(_TEXT, "paths"),
    "dataset.mix_weights": _several(_number(above=0), "numbers above 0"),
    "dataset_params.frame_shape": _or_none(
        _sequence(_SIDE, "(height, width, 3)", lambda length: length in (2, 3))
    ),
    "dataset_params.id_sampling": _FLAG,
    "dataset_params.augmentation_params.flip_param.horizontal_flip": _FLAG,
    "dataset_params.augmentation_params.flip_param.time_flip": _FLAG,
    "dataset_params.augmentation_params.jitter_param.brightness": _number(0),
    "dataset_params.augmentation_params.jitter_param.contrast": _number(0),
    "dataset_params.augmentation_params.jitter_param.saturation": _number(0),
    "dataset_params.augmentation_params.jitter_param.hue": _number(0, most=0.5),
    "dataset_params.augmentation_params.resize_param.ratio": _or_none(
        Rule(_RATIO.text, lambda value: _RATIO.holds(value) and _rising(value))
    ),
    "dataset_params.augmentation_params.crop_param.size": _or_none(
        _either(_SIDE, _pair(_SIDE, "(height, width)"))
    ),
    "dataset_params.puppets.clips": _or_none(_whole(1, 10**6)),
    "dataset_params.puppets.frames": _whole(1, 10**6),
    "dataset_params.puppets.size": _whole(16, 8192),
    "model_params.family": _TEXT,
    "model_params.common_params.num_tps": _whole(1, 1000),
    "model_params.common_params.num_channels": Rule("3: pictures are RGB", lambda x: x == 3),
    "model_params.common_params.bg": _FLAG,
    "model_params.common_params.multi_mask": _FLAG,
    "model_params.kp_detector_params.width": _whole(1, 4096),
    "model_params.kp_detector_params.blocks": _whole(0, MOST_BLOCKS),
    "model_params.kp_detector_params.spread_points": _FLAG,
    "model_params.bg_predictor_params.width": _whole(1, 4096),
    "model_params.bg_predictor_params.blocks": _whole(0, MOST_BLOCKS),
    "model_params.generator_params.block_expansion": _whole(1, 4096),
    "model_params.generator_params.max_features": _whole(1, 2**16),
    "model_params.generator_params.num_down_blocks": _whole(1, 10),
    "model_params.dense_motion_params.block_expansion": _whole(1, 4096),
    "model_params.dense_motion_params.max_features": _whole(1, 2**16),
    "model_params.dense_motion_params.num_blocks": _whole(1, 10),
    "model_params.dense_motion_params.scale_factor": _number(above=0, most=1),
    "model_params.dense_motion_params.warps": Rule("'tps' or 'affine'", lambda x: x in FITS),
    "model_params.avd_network_params.id_bottle_size": _whole(1, 2**16),
    "model_params.avd_network_params.pose_bottle_size": _whole(1, 2**16),
    "train_params.num_epochs": _whole(0),
    "train_params.num_repeats": _whole(1),
    "train_params.epoch_milestones": _several(_whole(0), "epochs"),
    "train_params.lr_generator": _number(0),
    "train_params.batch_size": _whole(1),
    "train_params.scales": _several(
        _number(above=0, most=1), "numbers above 0, 1 or less", least=1
    ),
    "train_params.dataloader_workers": _whole(0, 4096),
    "train_params.dropout_epoch": _whole(0),
    "train_params.dropout_maxp": _SHARE,
    "train_params.dropout_startp": _SHARE,
    "train_params.dropout_inc_epoch": _number(),
    "train_params.bg_start": _whole(0),
    "train_params.transform_params.sigma_affine": _number(0),
    "train_params.transform_params.sigma_tps": _number(0),
    "train_params.transform_params.points_tps": _whole(1, 100),
    "train_params.loss_weights.perceptual": _several(_WEIGHT, "numbers"),
    "train_params.loss_weights.equivariance_value": _WEIGHT,
    "train_params.loss_weights.warp_loss": _WEIGHT,
    "train_params.loss_weights.bg": _WEIGHT,
    "train_params.loss_weights.keypoints": _WEIGHT,
    "train_params.loss_weights.bg_points": _WEIGHT,
    "train_params.loss_weights.bg_equivariance": _WEIGHT,
    "train_params.loss_weights.contribution": _WEIGHT,
    "train_avd_params.num_epochs": _whole(0),
    "train_avd_params.num_repeats": _whole(1),
    "train_avd_params.batch_size": _whole(1),
    "train_avd_params.dataloader_workers": _whole(0, 4096),
    "train_avd_params.epoch_milestones": _several(_whole(0), "epochs"),
    "train_avd_params.lr": _number(0),
    "train_avd_params.lambda_shift": _WEIGHT,
    "train_avd_params.random_scale": _BELOW_ONE,
}
