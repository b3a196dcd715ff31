"""Configuration files, and single fields of them changed on the command line."""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from tpsm_jax.errors import InputError
from tpsm_jax.models.registry import family_of

# What the official files call otherwise.
_RENAMED = {"config.dataset_params.root_dir": "config.dataset.path"}
_ROOT = Path(__file__).resolve().parent.parent


def read_config(path: str | Path) -> ConfigDict:
    """Calls `get_config()` of a configuration file.

    Args:
      path: as configs/vox256.py; may import others of this repository.

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
      config: as from `read_config`.
      arguments: of the command line, those that nothing else took.

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
