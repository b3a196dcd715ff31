"""Weights that a training starts from, and VGG-19's, as the config names them."""

import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from tpsm_jax.checkpoints.converted import load_checkpoint
from tpsm_jax.checkpoints.steps import finished_steps
from tpsm_jax.checkpoints.vgg19 import check_vgg19, load_vgg19
from tpsm_jax.errors import InputError
from tpsm_jax.models.interface import Stage, Variables
from tpsm_jax.models.registry import choose_networks, family_of, variable_shapes


def load_initial_networks(config: ConfigDict, workdir: Path) -> Variables | None:
    """Networks of `init_from`; None without it, or where a run is resumed.

    The first process says on stderr which networks one of both lacks.

    Args:
      config: the config of the experiment.
      workdir: the run's.

    Raises:
      InputError: if the checkpoint cannot be read, or lacks one of `init_networks`.
    """
    if not config.init_from or finished_steps(workdir):
        return None
    variables = load_checkpoint(config.init_from).variables
    if jax.process_index() == 0 and (note := initial_note(config, variables["params"])):
        print(note, file=sys.stderr)
    return initial_networks(variables, config.init_networks)


def initial_note(config: ConfigDict, present: Collection[str]) -> str:
    """One line on the networks that `init_from` lacks, or has for nothing; "" if there are none.

    Args:
      config: the config of the experiment. Whoever sets its `init_networks` knows.
      present: names of the networks of the checkpoint.
    """
    if config.init_networks:
        return ""
    trained = family_of(config.model_params).trained("model")
    wanted = variable_shapes(config.model_params, networks=trained)["params"]
    notes = []
    if drawn := sorted(set(wanted) - set(present)):
        notes.append(f"has no {', '.join(drawn)}: drawn at random")
    if unused := sorted(set(present) - set(wanted)):
        notes.append(f"has {', '.join(unused)}: left out, as this run does not train it")
    return f"init_from: {config.init_from} {'; '.join(notes)}" if notes else ""


def load_perceptual_weights(config: ConfigDict) -> Variables | None:
    """VGG-19's variables; None where the perceptual loss needs none.

    Args:
      config: the config of the experiment.

    Raises:
      InputError: if there are none in `vgg19_dir`, or they are damaged.
    """
    if config.perceptual_features != "vgg19":
        return None
    return load_vgg19(config.vgg19_dir)


def check_weights(config: ConfigDict, stage: Stage) -> None:
    """Makes sure that VGG-19's weights are there where a stage needs them; reads none.

    Raises:
      InputError: if they are not.
    """
    if stage == "model" and config.perceptual_features == "vgg19":
        check_vgg19(config.vgg19_dir)


def initial_networks(variables: Variables, names: Sequence[str]) -> Variables:
    """Those networks of a checkpoint that training starts from.

    Args:
      variables: the checkpoint's.
      names: names of the networks; all that it has if empty.

    Returns:
      `variables` with these networks alone, NumPy arrays.

    Raises:
      InputError: if the checkpoint lacks one.
    """
    present = variables["params"]
    for name in names:
        if name not in present:
            raise InputError(
                f"init_networks: the checkpoint has no {name!r}, only {', '.join(sorted(present))}"
            )
    return jax.device_get(choose_networks(variables, names or present))


def check_init_networks(names: Sequence[str], stage: Sequence[str]) -> None:
    """Makes sure that a stage has the networks that it is to start from.

    Args:
      names: names in the config's `init_networks`.
      stage: names of the stage's networks.

    Raises:
      InputError: if it lacks one.
    """
    for name in names:
        if name not in stage:
            raise InputError(
                f"init_networks: {name!r} is none of this stage's networks, "
                + ", ".join(sorted(stage))
            )


def choose_initial(
    given: Variables | None, shapes: Variables, names: Sequence[str]
) -> Variables | None:
    """Chooses those of the given networks that the state has.

    Args:
      given: networks from `initial_networks`, or None.
      shapes: variables of the stage's networks, as shapes.
      names: the config's `init_networks`.

    Raises:
      InputError: if a name is none of the stage's, or a network has other shapes.
    """
    check_init_networks(names, tuple(shapes["params"]))
    if given is None:
        return None
    chosen = {
        collection: {name: tree for name, tree in given[collection].items() if name in networks}
        for collection, networks in shapes.items()
    }
    for name in chosen["params"]:
        found, expected = (
            [jax.tree.map(np.shape, networks.get(name)) for networks in variables.values()]
            for variables in (chosen, shapes)
        )
        if found != expected:
            raise InputError(f"init_from: {name} has other shapes than model_params describe")
    return chosen
