"""The parts of a training step, each compiled by itself, to be timed apart."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from tpsm_jax.models.interface import Variables
from tpsm_jax.parallel.sharding import batch_sharding, replicated
from tpsm_jax.training.losses import make_features, perceptual_loss, random_vgg19
from tpsm_jax.training.schedule import phase_of
from tpsm_jax.training.state import TrainState
from tpsm_jax.training.step import ModelTrainer, compute_dtype

PARTS = ("forward", "forward and backward", "optimiser", "vgg")


class StepParts:
    """What a step is made of, on a batch of noise.

    "forward": augmentation aside, all losses without a gradient; "forward and backward": with it,
    so that the backward pass is the difference; "optimiser": scaling of the gradients, both Adams,
    and what makes a step of nothing where something is not finite; "vgg": the perceptual loss of a
    given picture with its gradient, which is a share of the first two.

    Attributes:
      compile_seconds: of each part, with tracing.
    """

    def __init__(self, trainer: ModelTrainer, state: TrainState, batch: dict[str, jax.Array]):
        """Compiles all parts; `state` is copied."""
        config, phase = trainer.config, phase_of(trainer.config, epoch=0)
        sharding = batch_sharding(trainer.mesh)
        source, driving = (
            jax.device_put(batch[key].astype(jnp.float32) / 255, sharding)
            for key in ("source", "driving")
        )
        draws = jax.jit(trainer.draw, static_argnums=2, out_shardings=sharding)(
            jax.random.key(0), jnp.int32(0), phase
        )
        vgg19 = None
        if config.perceptual_features != "pixels":
            vgg19 = jax.device_put(random_vgg19(seed=0), replicated(trainer.mesh))
        self._state = jax.tree.map(jnp.copy, state)
        features = make_features(config.perceptual_features, dtype=compute_dtype(config))
        params = config.train_params

        def perceptual(prediction: jax.Array, vgg19: Any) -> jax.Array:
            def of_images(images: jax.Array) -> Any:
                return features(vgg19, images)

            weights = params.loss_weights.perceptual
            return perceptual_loss(prediction, driving, of_images, params.scales, weights)

        self.compile_seconds: dict[str, float] = {}
        # Every time those of the state as it is then: the optimiser's steps give the older up.
        forward = self._compile(
            "forward", trainer.losses, self._variables(), source, driving, draws, vgg19, phase=phase
        )
        gradients = self._compile(
            "forward and backward",
            trainer.gradients, self._state, source, driving, draws, vgg19, phase=phase,
        )  # fmt: skip
        made = gradients(self._state, source, driving, draws, vgg19)
        apply = self._compile("optimiser", trainer.apply, self._state, *made, donate=0, phase=phase)
        vgg = self._compile("vgg", jax.value_and_grad(perceptual), source, vgg19)

        def step() -> Any:
            self._state, metrics = apply(self._state, *made)
            return self._state, metrics

        self._run: dict[str, Callable[[], Any]] = {
            "forward": lambda: forward(self._variables(), source, driving, draws, vgg19),
            "forward and backward": lambda: gradients(self._state, source, driving, draws, vgg19),
            "optimiser": step,
            "vgg": lambda: vgg(source, vgg19),
        }

    def seconds(self, part: str, times: int) -> float:
        """Runs one of `PARTS` so often, one after the other, and waits for the last."""
        run = self._run[part]
        jax.block_until_ready(run())
        start = time.perf_counter()
        for _ in range(times):
            result = run()
        jax.block_until_ready(result)
        return time.perf_counter() - start

    def _variables(self) -> Variables:
        return {"params": self._state.params, "batch_stats": self._state.batch_stats}

    def _compile(
        self, part: str, function: Any, *arguments: Any, donate: Any = (), **static: Any
    ) -> Any:
        start = time.perf_counter()
        jitted = jax.jit(function, static_argnames=tuple(static), donate_argnums=donate)
        compiled = jitted.lower(*arguments, **static).compile()
        self.compile_seconds[part] = time.perf_counter() - start
        return compiled
