"""The training step as it is compiled for devices that need not be there."""

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
      trainer: whose step it is.
      lowered: of `jax`.
      devices: how many it is for.
    """

    trainer: Trainer
    lowered: Any
    devices: int

    def compile(self, *, joined: bool = True) -> Any:
        """Compiles it; on simulated devices quickly, for what is exchanged is the same.

        Args:
          joined: whether XLA may sum several arrays by one all-reduce; for simulated devices alone.
        """
        if self._counted() is None:
            return self.lowered.compile()
        options = quick_compiler_options() or {}
        if not joined:
            options["xla_disable_hlo_passes"] = "cpu-all-reduce-combiner"
        return self.lowered.compile(options)

    def flops(self, compiled: Any) -> float:
        """Of one device's share: XLA's count of the step as it is written.

        A TPU's compiler counts only what it made of it.
        """
        counted = self._counted()
        if counted is None:
            return compiled.cost_analysis()["flops"]
        return counted["flops"] / self.devices

    def _counted(self) -> dict[str, float] | None:
        return self.lowered.cost_analysis()


def lower_step(config: ConfigDict, devices: list[jax.Device], *, samples: int) -> Step:
    """Traces and lowers the step in which everything takes part, as an accelerator computes it.

    Args:
      config: of the experiment; pretrained VGG-19 is replaced by a random one of its shape.
      devices: simulated ones, or those of `topology_devices`; nothing is placed on them.
      samples: a device.
    """
    config = config.copy_and_resolve_references()
    config.train_params.batch_size = samples * len(devices)
    if config.perceptual_features == "vgg19":
        config.perceptual_features = "vgg19_random"
    background = config.model_params.common_params.bg
    with (
        # Not the detours that the library takes where a CPU computes.
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


def simulate_devices(count: int) -> list[jax.Device]:
    """CPU devices in this process; to be called before JAX starts."""
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", count)
    return jax.devices()


def topology_devices(name: str) -> list[jax.Device]:
    """The chips of a TPU slice, to compile for; the package libtpu is needed, but no TPU.

    Args:
      name: generation and shape, as "v5e:2x4".

    Raises:
      InputError: if there is no such slice, or no libtpu.
    """
    from jax.experimental import topologies

    jax.config.update("jax_platforms", "cpu")
    try:
        return topologies.get_topology_desc(platform="tpu", topology_name=name).devices
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"--topology {name} cannot be compiled for (is libtpu installed?): {error}"
        ) from error
