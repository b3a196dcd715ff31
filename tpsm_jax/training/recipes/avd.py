"""The stage that trains `avd_network` on a frozen model. Reference: train_avd.py; paper, 3.4."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from ml_collections import ConfigDict

from tpsm_jax.models.interface import Variables
from tpsm_jax.models.registry import family_of
from tpsm_jax.training import schedule
from tpsm_jax.training.augment import augment_batch
from tpsm_jax.training.step import Batch, Recipe


def make_recipe(
    config: ConfigDict,
    model: Any,
    *,
    steps_per_epoch: int,
    optimizers: Mapping[str, optax.GradientTransformation],
) -> Recipe:
    """How a config trains the network that re-expresses a pose; no other network changes.

    Args:
      config: the config of the experiment.
      model: the model that `build_model` made.
      steps_per_epoch: batches in an epoch.
      optimizers: one for each name of the family's `optimizers("avd")`.
    """
    params = config.train_avd_params

    def losses(
        variables: Variables, batch: Batch, scale: jax.Array, constants: None, phase: None
    ) -> tuple[dict[str, jax.Array], Any]:
        # The reference leaves the detector in training mode here; frozen should mean frozen.
        kp_source, kp_driving = (
            model.apply(variables, batch[name], method="keypoints")
            for name in ("source", "driving")
        )
        stretched = kp_driving * scale[:, None, :]
        restored, changed = model.apply(
            variables, kp_source, stretched, train=True, method="disentangle",
            mutable=["batch_stats"],
        )  # fmt: skip
        distance = jnp.mean(jnp.abs(kp_driving - restored))
        return {"rec_kp": params.lambda_shift * distance}, changed["batch_stats"]

    def learning_rate(step: jax.Array) -> jax.Array:
        # The reference gives its scheduler the epoch that is over: a milestone acts one later.
        epoch = step // steps_per_epoch - 1
        return schedule.learning_rate(params.lr, params.epoch_milestones, epoch)

    def pictures(variables: Variables, batch: Batch, phase: None) -> dict[str, Any]:
        """Each source moved by another sample's driving picture."""
        source, driving = batch["source"], jnp.roll(batch["driving"], 1, axis=0)

        def forward(model: nn.Module) -> dict[str, Any]:
            encoded = model.encode_source(source)
            pose = model.disentangle(encoded["kp_source"], model.keypoints(driving))
            return model.generate(encoded, pose)

        outputs = model.apply(variables, method=forward)
        return {"source": source, "driving": driving, **outputs}

    return Recipe(
        seed=config.seed,
        phase_of=lambda step: None,
        picture_phase_of=lambda step: None,
        augment=lambda rng, batch: augment_batch(
            rng, batch, config.dataset_params.augmentation_params
        ),
        draw=lambda rng, step, phase: draw_scale(rng, params.batch_size, params.random_scale),
        losses=losses,
        optimizers=optimizers,
        networks=family_of(config.model_params).optimizers("avd"),
        active=lambda phase: tuple(optimizers),
        bounded=(),
        learning_rate=learning_rate,
        pictures=pictures,
    )


def draw_scale(rng: jax.Array, batch: int, extent: float) -> jax.Array:
    """Draws by how much each sample's driving keypoints are stretched.

    Args:
      rng: a JAX random key.
      batch: B.
      extent: largest change of a factor, in [0, 1).

    Returns:
      [B, 2] in [1 - extent, 1 + extent], for x and y. Reference: `random_scale` in train_avd.py.
    """
    return jax.random.uniform(rng, (batch, 2), minval=1 - extent, maxval=1 + extent)
