"""Weights that a training starts from, and VGG-19's, as the config names them."""

from pathlib import Path

from ml_collections import ConfigDict

from tpsm_jax.checkpoints.converted import load_checkpoint
from tpsm_jax.checkpoints.steps import finished_steps
from tpsm_jax.checkpoints.vgg19 import check_vgg19, load_vgg19
from tpsm_jax.models.interface import Variables
from tpsm_jax.parallel.distributed import on_every_process
from tpsm_jax.training.setup import initial_networks


def load_initial_networks(config: ConfigDict, workdir: Path) -> Variables | None:
    """Networks of `init_from`; None without it, or where a run is resumed.

    Args:
      config: the experiment's.
      workdir: the run's.

    Raises:
      InputError: if the checkpoint cannot be read, or lacks one of `init_networks`.
    """
    if not config.init_from or finished_steps(workdir):
        return None
    return initial_networks(load_checkpoint(config.init_from).variables, config.init_networks)


def load_perceptual_weights(config: ConfigDict) -> Variables | None:
    """VGG-19's variables; None where the perceptual loss needs none.

    Args:
      config: the experiment's.

    Raises:
      InputError: if there are none in `vgg19_dir`, or they are damaged.
    """
    if config.perceptual_features != "vgg19":
        return None
    on_every_process(lambda: check_vgg19(config.vgg19_dir))
    return load_vgg19(config.vgg19_dir)
