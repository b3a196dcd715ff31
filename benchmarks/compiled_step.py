"""The training step as it is compiled for devices that need not be there."""

from typing import Any, NamedTuple
from unittest import mock

import jax
from ml_collections import ConfigDict

from tpsm_jax.errors import InputError
from tpsm_jax.training.schedule import Phase
from tpsm_jax.training.sharding import make_mesh
from tpsm_jax.training.state import quick_compiler_options
from tpsm_jax.training.step import ModelTrainer


class CompiledStep(NamedTuple):
    """A step, and what is known of it without running it.

    Attributes:
      trainer: whose step it is.
      compiled: of `jax`, for its text and its memory.
      flops: of one device's share of a step. On simulated devices XLA's count of the step as it is
        written; by a TPU's compiler, of what it made of it.
    """

    trainer: ModelTrainer
    compiled: Any
    flops: float


def compile_step(
    config: ConfigDict,
    devices: list[jax.Device],
    *,
    samples: int,
    joined: bool = True,
) -> CompiledStep:
    """Compiles the step in which everything takes part, as an accelerator computes it.

    Args:
      config: of the experiment; pretrained VGG-19 is replaced by a random one of its shape.
      devices: simulated ones, or those of `topology_devices`.
      samples: a device.
      joined: whether XLA may sum several arrays by one all-reduce; for simulated devices alone.

    Returns:
      The step. Nothing is placed on the devices.
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
        trainer = ModelTrainer(config, make_mesh(devices), steps_per_epoch=1)
        lowered = trainer.lower(Phase(background, dropout=True))
    options = None
    if devices[0].platform == "cpu":
        options = quick_compiler_options() or {}  # the sums are the same
        if not joined:
            options["xla_disable_hlo_passes"] = "cpu-all-reduce-combiner"
    compiled = lowered.compile(options)
    counted = lowered.cost_analysis()
    if counted is None:
        return CompiledStep(trainer, compiled, compiled.cost_analysis()["flops"])
    return CompiledStep(trainer, compiled, counted["flops"] / len(devices))


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
