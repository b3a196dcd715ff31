"""The project's whole training step on noise, to be timed or profiled."""

import argparse
import time
from collections.abc import Sequence

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks.common.compiled_step import lower_step
from benchmarks.common.flops import count_flops, cpu_device
from benchmarks.common.memory import peak_rss_mib
from tpsm_jax.config import apply_overrides, read_config
from tpsm_jax.parallel.sharding import batch_sharding, make_mesh
from tpsm_jax.training.setup import make_model_trainer
from tpsm_jax.training.state import TrainState


def step_config(args: argparse.Namespace, overrides: Sequence[str]) -> ConfigDict:
    """The config of --config, --dtype and overrides, with every network and loss in the step.

    VGG-19 has random weights, so that nothing is downloaded.
    """
    config = read_config(args.config)
    config.compute_dtype = args.dtype
    apply_overrides(config, overrides)
    config.train_params.bg_start = 0
    if config.perceptual_features == "vgg19":
        config.perceptual_features = "vgg19_random"
    return config


class Training:
    """A trainer, its state, and a batch of noise on the devices.

    Attributes:
      trace_seconds: the time to trace and lower a step.
      compile_seconds: the time to compile it.
      program: the compiled step.
      flops: FLOP of a step as it is written, over all devices. What the compiler adds or saves is
        not counted.
      needed_mib: the memory of one device that XLA plans for a step: arguments, results that take
        no argument's place, and temporaries.
    """

    def __init__(self, config: ConfigDict):
        mesh = make_mesh()
        self._trainer = make_model_trainer(config, mesh, steps_per_epoch=10**6)
        shape = (2, config.train_params.batch_size, *config.image_size, 3)
        noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        self._batch = {
            key: jax.device_put(value, batch_sharding(mesh))
            for key, value in zip(("source", "driving"), noise, strict=True)
        }
        self._state: TrainState = self._trainer.create_state()
        start = time.perf_counter()
        lowered = self._trainer.lower(self._batch, self._trainer.recipe.phase_of(0))
        self.trace_seconds = time.perf_counter() - start
        self.program = lowered.compile()  # the first step finds it
        self.compile_seconds = time.perf_counter() - start - self.trace_seconds
        samples = config.train_params.batch_size
        self.flops = count_flops(
            lowered, lambda: lower_step(config, [cpu_device()], samples=samples).lowered
        )
        needs = self.program.memory_analysis()
        self.needed_mib = (
            needs.argument_size_in_bytes
            + needs.output_size_in_bytes
            - needs.alias_size_in_bytes
            + needs.temp_size_in_bytes
        ) / 2**20

    def seconds(self, steps: int) -> float:
        """Takes `steps` steps, one after the other, and waits for the last."""
        jax.block_until_ready(self._state)
        start = time.perf_counter()
        for _ in range(steps):
            self._state, _ = self._trainer.step(self._state, self._batch, 0)
        jax.block_until_ready(self._state)
        return time.perf_counter() - start

    def memory(self) -> list[float]:
        """MiB at the peak of this process and of its device so far: batch sizes should rise."""
        of_device = jax.local_devices()[0].memory_stats() or {}
        return [peak_rss_mib(), of_device.get("peak_bytes_in_use", 0) / 2**20]
