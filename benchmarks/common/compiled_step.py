"""The training step, lowered and compiled for devices that need not be present."""

from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from tpsm_jax.errors import InputError
from tpsm_jax.parallel.sharding import batch_sharding, make_mesh
from tpsm_jax.runtime.quick_compile import quick_compiler_options
from tpsm_jax.training.schedule import Phase
from tpsm_jax.training.setup import make_model_trainer
from tpsm_jax.training.trainer import Trainer


class Step(NamedTuple):
    """A step that is traced and lowered, but not compiled.

    Attributes:
      trainer: the step's trainer.
      lowered: what `jax.jit(...).lower` returned.
      devices: how many devices it is for.
    """

    trainer: Trainer
    lowered: Any
    devices: int

    def compile(self, *, joined: bool = True) -> Any:
        """Compiles the step; quickly on simulated devices, as that exchanges the same arrays.

        Args:
          joined: whether XLA may sum several arrays by one all-reduce; only for simulated devices.
        """
        if self._counted() is None:
            return self.lowered.compile()
        options = dict(quick_compiler_options() or {})
        if not joined:
            options["xla_disable_hlo_passes"] = "cpu-all-reduce-combiner"
        return self.lowered.compile(options)

    def flops(self, compiled: Any) -> float:
        """FLOP of one device's share, by XLA's count of the step as it is written.

        A TPU's compiler counts only the program that it made of it.
        """
        counted = self._counted()
        if counted is None:
            return compiled.cost_analysis()["flops"]
        return counted["flops"] / self.devices

    def _counted(self) -> dict[str, float] | None:
        return self.lowered.cost_analysis()


def lower_step(config: ConfigDict, devices: list[jax.Device], *, samples: int) -> Step:
    """Traces and lowers the step with every network and loss in it, in its accelerator's form.

    Args:
      config: the experiment; pretrained VGG-19 is replaced by a random one of its shape.
      devices: simulated devices, or those of `topology_devices`; nothing is placed on them.
      samples: samples a device.
    """
    config = config.copy_and_resolve_references()
    config.train_params.batch_size = samples * len(devices)
    if config.perceptual_features == "vgg19":
        config.perceptual_features = "vgg19_random"
    background = config.model_params.common_params.bg
    with (
        # Without the forms that are for a CPU.
        mock.patch.object(jax, "default_backend", return_value="tpu"),
        mock.patch.object(jax, "device_put", lambda tree, *_: tree),
    ):
        trainer = make_model_trainer(config, make_mesh(devices), steps_per_epoch=1)
        lowered = trainer.lower(batch_shapes(trainer, config), Phase(background, dropout=True))
    return Step(trainer, lowered, len(devices))


def batch_shapes(trainer: Trainer, config: ConfigDict) -> dict[str, jax.ShapeDtypeStruct]:
    """The batch that a trainer's step takes, on its devices."""
    picture = jax.ShapeDtypeStruct(
        (trainer.batch_size, *config.image_size, 3),
        jnp.uint8,
        sharding=batch_sharding(trainer.mesh),
    )
    return {"source": picture, "driving": picture}


def summed_losses(trainer: Trainer, phase: Phase) -> Callable[..., jax.Array]:
    """A function of (params, batch_stats, source, driving, draws, vgg19) that gives the loss."""

    def total(
        params: Any, batch_stats: Any, source: Any, driving: Any, draws: Any, vgg19: Any
    ) -> jax.Array:
        variables = {"params": params, "batch_stats": batch_stats}
        batch = {"source": source, "driving": driving}
        terms, _ = trainer.recipe.losses(variables, batch, draws, vgg19, phase)
        return sum(terms.values(), jnp.float32(0))

    return total


def simulate_devices(count: int) -> list[jax.Device]:
    """Makes CPU devices in this process; call it before JAX starts."""
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", count)
    return jax.devices()


def topology_devices(name: str) -> list[jax.Device]:
    """The chips of a TPU slice, to compile for; needs the package libtpu, but no TPU.

    Args:
      name: generation and shape, such as "v5e:2x4".

    Raises:
      InputError: there is no such slice, or no libtpu.
    """
    from jax.experimental import topologies

    jax.config.update("jax_platforms", "cpu")
    try:
        return topologies.get_topology_desc(platform="tpu", topology_name=name).devices
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"--topology {name} cannot be compiled for (is libtpu installed?): {error}"
        ) from error
