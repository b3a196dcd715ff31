"""Configuration files, fields changed on the command line, and the check of all settings."""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from tpsm_jax.errors import InputError
from tpsm_jax.models.interface import Stage
from tpsm_jax.models.registry import check_image_size, family_of, variable_shapes
from tpsm_jax.models.vgg19 import SMALLEST as SMALLEST_FOR_VGG19
from tpsm_jax.parallel.sharding import check_batch_size, check_state_sharding
from tpsm_jax.runtime.local_paths import local_path
from tpsm_jax.runtime.memory import check_pictures_fit
from tpsm_jax.training.augment import check_augmentation
from tpsm_jax.training.fields import check_fields
from tpsm_jax.training.log import TENSORBOARD_MISSING
from tpsm_jax.training.losses import make_features
from tpsm_jax.training.optimizer import frozen_parameters, make_optimizer
from tpsm_jax.training.recipes import model_recipe
from tpsm_jax.training.weights import check_init_networks

# What the official files call otherwise.
_RENAMED = {"config.dataset_params.root_dir": "config.dataset.path"}
# Fields that only the stage "model" reads, and their values where nobody set them.
_NOT_FOR_AVD = {
    "optimizer": "",
    "optimizer_params": {},
    "warmup_steps": 0,
    "accumulate_steps": 1,
    "remat": (),
    "freeze": (),
    "init_from": "",
    "init_networks": (),
    "eval_every": 0,  # a reconstruction does without avd_network
}
# (section, field) of a path, or of a tuple of paths.
_PATHS = (("dataset", "path"), ("dataset", "mix_paths"), ("", "vgg19_dir"), ("", "init_from"))
_ROOT = Path(__file__).resolve().parent.parent


def read_config(path: str | Path) -> ConfigDict:
    """Calls `get_config()` of a configuration file.

    Args:
      path: the file, e.g. configs/vox256.py; may import others of this repository.

    Returns:
      The configuration.

    Raises:
      InputError: if there is no such file, function or model family, or the function fails.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no config {path}")
    if str(_ROOT) not in sys.path:
        sys.path.insert(0, str(_ROOT))
    spec = importlib.util.spec_from_file_location("config_file", path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is not a Python file with get_config()")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        config = module.get_config()
        for section in family_of(config["model_params"]).sections:
            config["model_params"][section]
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:
        # Anything can go wrong in a file of somebody else's.
        raise InputError(
            f"{path} gives no config by get_config(): {type(error).__name__}: {error}"
        ) from error
    return config


def apply_overrides(config: ConfigDict, arguments: Sequence[str]) -> None:
    """Changes fields in place, as `--config.train_params.batch_size=8` says.

    Args:
      config: the config that `read_config` returned.
      arguments: arguments of the command line that nothing else took.

    Raises:
      InputError: for a field that the config does not have, a value of another type, or anything
        that is no override.
    """
    for argument in arguments:
        name = argument.lstrip("-").split("=")[0]
        if name in _RENAMED:
            raise InputError(f"the config has no {name}: it is called {_RENAMED[name]}")
    values = flags.FlagValues()
    line = ["script", *arguments]
    try:
        config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=line)
        rest = values(line)[1:]
    except (AttributeError, KeyError) as error:
        raise InputError(f"the config has no field {error} that an override names") from error
    except (flags.Error, ValueError, TypeError) as error:
        message = str(error).strip().splitlines()[0].rstrip(".")
        raise InputError(f"{message} (overrides are --config.FIELD=VALUE)") from error
    if rest:
        raise InputError(f"{rest[0]!r} is no flag (--help lists them)")


def expand_paths(config: ConfigDict) -> None:
    """Expands the `~` at the beginning of the config's paths, in place.

    Fields that are missing or no paths stay as they are: `validate` names them.

    Raises:
      InputError: names the field that is a URL, or whose home folder does not exist.
    """
    for section, name in _PATHS:
        fields = config.get(section) if section else config
        value = fields.get(name) if isinstance(fields, ConfigDict) else None
        field = f"config.{section}.{name}" if section else f"config.{name}"
        try:
            if isinstance(value, str):
                fields[name] = local_path(value)
            elif isinstance(value, (list, tuple)) and all(isinstance(path, str) for path in value):
                fields[name] = tuple(map(local_path, value))
        except InputError as error:
            raise InputError(f"{field}: {error}") from None


def validate(config: ConfigDict, stage: Stage, devices: int) -> None:
    """Checks every setting that training reads, before any clip or weight is read.

    Args:
      config: the config of the experiment; for the stage "avd" with the `model_params` of the
        trained model.
      stage: "model" or "avd".
      devices: number of devices that the batch is divided among.

    Raises:
      InputError: names the field whose value is invalid.
    """
    check_fields(config)
    if config.tensorboard and importlib.util.find_spec("tensorboardX") is None:
        raise InputError(TENSORBOARD_MISSING)
    family = family_of(config.model_params)
    _check_model(config)
    check_augmentation(config.dataset_params.augmentation_params or {})
    check_state_sharding(config.state_sharding)
    if config.compute_dtype not in ("float32", "bfloat16"):
        raise InputError(f"compute_dtype is 'float32' or 'bfloat16', not {config.compute_dtype!r}")
    if stage == "avd":
        if not family.trained("avd"):
            raise InputError(f"models of family {family.name!r} have no stage avd")
        _check_unused_fields(config)
        params = config.train_avd_params
        check_batch_size(params.batch_size, devices, field="train_avd_params.batch_size")
        _check_memory(config, params.batch_size, devices)
        _check_end(config, params.num_epochs)
        return
    model_recipe(family.name)
    check_batch_size(config.train_params.batch_size, devices, config.accumulate_steps)
    _check_memory(config, config.train_params.batch_size, devices)
    _check_dropout(config)
    _check_remat(config)
    _check_perceptual_features(config)
    _check_landmarks(config)
    _check_end(config, config.train_params.num_epochs)
    if config.optimizer_params and not config.optimizer:
        raise InputError("optimizer_params are for an optimizer of optax: set optimizer, too")
    make_optimizer(config.optimizer, config.optimizer_params)
    if config.init_networks and not config.init_from:
        raise InputError("config.init_networks says what to take of init_from: give that, too")
    if config.init_networks or config.freeze:
        shapes = variable_shapes(config.model_params, networks=family.trained("model"))["params"]
        check_init_networks(config.init_networks, tuple(shapes))
        frozen_parameters(shapes, config.freeze)


def _require(holds: bool, field: str, value: Any, rule: str) -> None:
    if not holds:
        raise InputError(f"config.{field} is {value} and must be {rule}")


def _check_end(config: ConfigDict, num_epochs: int) -> None:
    if not config.total_steps and num_epochs < 1:
        raise InputError(f"there is no step to take: num_epochs is {num_epochs}")


def _check_model(config: ConfigDict) -> None:
    """That `model_params` describe networks, which can take pictures of `image_size`."""
    try:
        check_image_size(config.model_params, *config.image_size)
        variable_shapes(config.model_params)
    except InputError:
        raise
    except Exception as error:
        # Networks fail in any way on numbers that make no sense.
        raise InputError(
            f"model_params describe no model ({type(error).__name__}: {str(error)[:200]})"
        ) from error


def _check_memory(config: ConfigDict, batch_size: int, devices: int) -> None:
    pictures = 2 * batch_size // devices
    check_pictures_fit(pictures, *config.image_size, change="batch_size or image_size")


def _check_dropout(config: ConfigDict) -> None:
    params = config.train_params
    _require(
        params.dropout_inc_epoch > 0,
        "train_params.dropout_inc_epoch",
        params.dropout_inc_epoch,
        "above 0: for a constant share set dropout_startp to dropout_maxp",
    )
    _require(
        # What is kept is divided by the share that is kept.
        params.dropout_maxp < 1 or not config.dropout_rescale,
        "train_params.dropout_maxp",
        params.dropout_maxp,
        "below 1 with config.dropout_rescale",
    )


def _check_remat(config: ConfigDict) -> None:
    networks = family_of(config.model_params).networks
    known = [*(network.name for network in networks if network.can_remat), "vgg19"]
    if unknown := set(config.remat) - set(known):
        raise InputError(f"remat: {sorted(unknown)[0]!r} is none of {', '.join(known)}")


def _check_perceptual_features(config: ConfigDict) -> None:
    kind, params = config.perceptual_features, config.train_params
    make_features(kind)
    least = int(min(params.scales) * min(config.image_size))
    if kind != "pixels" and least < SMALLEST_FOR_VGG19:
        raise InputError(
            f"train_params.scales make pictures of {least} pixels, and perceptual_features "
            f"{kind!r} takes {SMALLEST_FOR_VGG19} or more: leave out the smallest scales, or take "
            "larger pictures"
        )
    expected = 1 if kind == "pixels" else 5
    weights = params.loss_weights.perceptual
    if len(weights) != expected:
        raise InputError(
            f"train_params.loss_weights.perceptual has {len(weights)} weights, and "
            f"perceptual_features {kind!r} makes {expected}"
        )


def _check_landmarks(config: ConfigDict) -> None:
    """Refuses augmentations that move pictures but not their landmarks."""
    weights = config.train_params.loss_weights
    wanted = [name for name in ("keypoints", "bg_points") if weights.get(name, 0)]
    if not wanted:
        return
    params = config.dataset_params.augmentation_params or {}
    asked = f"with config.train_params.loss_weights.{wanted[0]}"
    _require(
        not (params.get("flip_param") or {}).get("horizontal_flip"),
        "dataset_params.augmentation_params.flip_param.horizontal_flip",
        True,
        f"False {asked}: landmarks know left from right",
    )
    _require(
        not (params.get("crop_param") or {}).get("size"),
        "dataset_params.augmentation_params.crop_param.size",
        "set",
        f"None {asked}",
    )


def _check_unused_fields(config: ConfigDict) -> None:
    settings = config.to_dict()
    for name, unset in _NOT_FOR_AVD.items():
        # Whatever is empty says nothing, as a list in place of the tuple.
        if (settings[name] or unset) != unset:
            raise InputError(f"{name} is not for --stage avd")
