"""Set-up of a training: the model, its optimizers, the weights to start from, VGG-19's."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from tpsm_jax.checkpoints.vgg19 import no_vgg19
from tpsm_jax.models.interface import Stage, Variables
from tpsm_jax.models.registry import build_model, family_of, init_variables, variable_shapes
from tpsm_jax.training.losses import make_features, random_vgg19
from tpsm_jax.training.optimizer import for_one_network, freeze, frozen_parameters, make_optimizer
from tpsm_jax.training.recipes import avd, model_recipe
from tpsm_jax.training.step import Recipe
from tpsm_jax.training.trainer import Trainer
from tpsm_jax.training.weights import choose_initial


def make_model_trainer(
    config: ConfigDict,
    mesh: Mesh,
    *,
    steps_per_epoch: int,
    initial_variables: Variables | None = None,
    vgg19: Variables | None = None,
) -> Trainer:
    """Trains all networks but `avd_network` together.

    Args:
      config: the config of the experiment, which `validate` has accepted.
      mesh: the mesh of all devices, from `make_mesh`.
      steps_per_epoch: batches in an epoch.
      initial_variables: networks that start from given weights (`initial_networks`); the others
        are drawn. Those that this stage does not have are left out.
      vgg19: variables of `VGG19`, for `perceptual_features: 'vgg19'`.

    Raises:
      InputError: if the given weights do not fit the config, or VGG-19's are needed and not given.
    """
    dtype = jnp.dtype(config.compute_dtype)
    remat = set(config.remat)
    model = build_model(config.model_params, dtype=dtype, remat=remat - {"vgg19"})
    features = make_features(config.perceptual_features, dtype=dtype, remat="vgg19" in remat)
    family = family_of(config.model_params)
    shapes = variable_shapes(config.model_params, networks=family.trained("model"))
    frozen = frozen_parameters(shapes["params"], config.freeze)
    recipe = model_recipe(family.name)(
        config,
        model,
        steps_per_epoch=steps_per_epoch,
        features=features,
        optimizers=_make_optimizers(config, frozen),
        trained=frozenset(name for name in frozen if not all(jax.tree.leaves(frozen[name]))),
    )
    return _make_trainer(
        config,
        recipe,
        model,
        mesh,
        stage="model",
        steps_per_epoch=steps_per_epoch,
        given=choose_initial(initial_variables, shapes, config.init_networks),
        constants=_choose_vgg19(config, vgg19),
    )


def make_avd_trainer(
    config: ConfigDict, mesh: Mesh, *, steps_per_epoch: int, variables: Variables
) -> Trainer:
    """Trains `avd_network` to undo a random scaling of keypoints; no other network changes.

    Args:
      config: the config of the experiment, which `validate` has accepted, with the `model_params`
        of the trained model. Its `ema_decay`, which experiments set for the other stage, is not
        used.
      mesh: the mesh of all devices, from `make_mesh`.
      steps_per_epoch: batches in an epoch.
      variables: variables of the trained model. Its `avd_network`, if there is one, is trained
        further.
    """
    model = build_model(config.model_params, dtype=jnp.dtype(config.compute_dtype))
    groups = family_of(config.model_params).optimizers("avd")
    recipe = avd.make_recipe(
        config,
        model,
        steps_per_epoch=steps_per_epoch,
        # The reference decays no weights here.
        optimizers={
            name: for_one_network(network, make_optimizer(weight_decay=0.0))
            for name, (network,) in groups.items()
        },
    )
    return _make_trainer(
        config,
        recipe,
        model,
        mesh,
        stage="avd",
        steps_per_epoch=steps_per_epoch,
        given=jax.device_get(variables),
    )


def _make_trainer(
    config: ConfigDict,
    recipe: Recipe,
    model: Any,
    mesh: Mesh,
    *,
    stage: Stage,
    steps_per_epoch: int,
    given: Variables | None,
    constants: Any = None,
) -> Trainer:
    params = config.train_params if stage == "model" else config.train_avd_params
    names = family_of(config.model_params).trained(stage)

    def init(rng: jax.Array) -> Variables:
        return init_variables(model, rng, *config.image_size, networks=names)

    return Trainer(
        recipe,
        model,
        mesh,
        batch_size=params.batch_size,
        num_epochs=params.num_epochs,
        steps_per_epoch=steps_per_epoch,
        init=init,
        shapes=variable_shapes(config.model_params, networks=names),
        given=given,
        constants=constants,
        state_sharding=config.state_sharding,
    )


def _make_optimizers(
    config: ConfigDict, frozen: dict[str, Any]
) -> dict[str, optax.GradientTransformation]:
    """The optimizer of each group of networks that the model has."""
    optimizers = {}
    groups = family_of(config.model_params).optimizers("model")
    for group, networks in groups.items():
        if not all(name in frozen for name in networks):
            continue
        optimizer = make_optimizer(config.optimizer, config.optimizer_params)
        of_group = {name: frozen[name] for name in networks}
        if any(jax.tree.leaves(of_group)):
            optimizer = freeze(optimizer, of_group)
        optimizers[group] = optimizer
    return optimizers


def _choose_vgg19(config: ConfigDict, given: Variables | None) -> Variables | None:
    kind = config.perceptual_features
    if kind == "vgg19_random":
        return random_vgg19(seed=0)
    if kind == "vgg19" and given is None:
        raise no_vgg19(config.vgg19_dir)
    return given if kind == "vgg19" else None
