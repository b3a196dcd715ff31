"""Metrics that stay on the devices until the host must know, so that neither waits."""

import math

import jax

from tpsm_jax.checkpoints.run import Progress
from tpsm_jax.errors import InputError

# Steps that the devices may lag behind: enough never to idle, few enough that the batches waiting
# for them fit next to the model.
_STEPS_IN_FLIGHT = 2


class NonFiniteLossError(InputError):
    """Too many steps in a row had a loss or a gradient that was not finite."""


class PendingMetrics:
    """Metrics of steps that the host has not fetched, because fetching would stop the devices."""

    def __init__(self, progress: Progress, tolerated: int):
        """Begins with none.

        Args:
          progress: kept up to date with the steps fetched.
          tolerated: steps in a row that may be not finite.
        """
        self._progress = progress
        self._tolerated = tolerated
        self._waiting: list[tuple[int, dict[str, jax.Array], list[str]]] = []
        self._latest: dict[str, float] = {}
        self._losses: list[float] = []

    def add(self, step: int, metrics: dict[str, jax.Array], names: list[str]) -> None:
        """Takes a step's metrics as they are, on the devices.

        Args:
          step: steps taken, this one included.
          metrics: metrics that `Trainer.step` returned.
          names: names of the batch's clips.
        """
        self._waiting.append((step, metrics, names))
        if len(self._waiting) > _STEPS_IN_FLIGHT:
            # The devices still have the steps after this one, so they do not stop.
            jax.block_until_ready(self._waiting[-1 - _STEPS_IN_FLIGHT][1])

    def fetch(self) -> dict[str, float]:
        """Fetches all that wait, at once.

        Returns:
          The metrics of the latest step, without "finite".

        Raises:
          NonFiniteLossError: if too many in a row were not finite.
        """
        fetched = jax.device_get([metrics for _, metrics, _ in self._waiting])
        for (step, _, names), values in zip(self._waiting, fetched, strict=True):
            self._latest = {name: float(value) for name, value in values.items()}
            self._progress.step = step
            if self._latest.pop("finite"):
                self._progress.nonfinite_in_a_row = 0
                self._losses.append(self._latest["loss"])
                continue
            self._progress.nonfinite_steps += 1
            self._progress.nonfinite_in_a_row += 1
            if self._progress.nonfinite_in_a_row > self._tolerated:
                raise NonFiniteLossError(_describe(step, self._latest, names))
        self._waiting.clear()
        return self._latest

    def take_mean_loss(self, at_least: int) -> float | None:
        """The mean over the finite steps since the last that was taken.

        Args:
          at_least: steps, from 1.

        Returns:
          None if there were fewer, which then count for the next.
        """
        if len(self._losses) < at_least:
            return None
        losses, self._losses = self._losses, []
        return sum(losses) / len(losses)


def _describe(step: int, metrics: dict[str, float], names: list[str]) -> str:
    values = ", ".join(
        f"{name} {value:.6g}"
        for name, value in metrics.items()
        if name.startswith("loss") or not math.isfinite(value)
    )
    return (
        f"step {step} is not finite: {values}; clips: {', '.join(dict.fromkeys(names))}. "
        "Nothing was saved since; --config.skip_nonfinite_steps=N leaves out N such steps in a row"
    )
