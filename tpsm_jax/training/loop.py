"""The loop around the step: batches in, checkpoints, metrics and pictures out."""

import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from tpsm_jax.errors import InputError
from tpsm_jax.orbax_trees import quiet_orbax, tree_bytes
from tpsm_jax.training.checkpointing import Checkpoints, Progress
from tpsm_jax.training.distributed import everywhere, on_first_process
from tpsm_jax.training.log import Log
from tpsm_jax.training.preemption import Preemption
from tpsm_jax.training.sharding import Batch, device_batches
from tpsm_jax.training.state import TrainState
from tpsm_jax.training.workdir import check_disk, claim_workdir, record_config
from tpsm_jax.visualize import animation_sheet

PICTURED_SAMPLES = 4
# Steps that the devices may lag behind: enough never to idle, few enough that the batches waiting
# for them fit beside the model.
_STEPS_IN_FLIGHT = 2


class Trainer(Protocol):
    """What the loop trains."""

    mesh: Mesh
    batch_size: int
    num_epochs: int
    steps_per_epoch: int

    def create_state(self) -> TrainState:
        """The state before the first step, on the devices."""

    def abstract_state(self) -> TrainState:
        """Shapes, types and shardings of the state."""

    def start(self, step: int) -> None:
        """Tells which step comes next."""

    def step(
        self, state: TrainState, batch: dict[str, jax.Array]
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        """Takes a step; the state is given up.

        Returns:
          The next state, and float32 scalars: "loss", "loss/TERM", "gradient/NETWORK",
          "learning_rate/OPTIMISER", and "finite", 0 where the step was left out because its loss
          or gradient was not.
        """

    def outputs(self, state: TrainState, batch: dict[str, jax.Array], count: int) -> dict[str, Any]:
        """Source, driving and what the model makes of them, of the first `count` samples."""


class NonFiniteLossError(InputError):
    """Too many steps in a row had a loss or a gradient that was not finite."""


def train(
    config: ConfigDict,
    workdir: str | Path,
    trainer: Trainer,
    make_batches: Callable[[int], Iterator[Batch]],
) -> None:
    """Trains from the workdir's newest checkpoint on, or from the start, to the last step.

    A SIGTERM saves and returns; the same call goes on. What goes wrong in one process alone, as a
    log that cannot be written or a clip that cannot be read, ends that one with its error, and the
    others by JAX's own timeout.

    Args:
      config: of the experiment. `total_steps`, if not 0, takes the place of the trainer's
        num_epochs in saying where any run ends, be it longer or shorter.
      workdir: to make, or of the same run.
      trainer: made of the same config.
      make_batches: gives the endless batches of this process from a step on.

    Raises:
      InputError: if the config or the workdir does not do, the run had other epochs, or a
        checkpoint is damaged or cannot be written.
      NonFiniteLossError: if more than `config.skip_nonfinite_steps` steps in a row were not
        finite. No checkpoint is written after them.
    """
    check_settings(config)
    workdir = Path(workdir).absolute()
    total = config.total_steps or trainer.num_epochs * trainer.steps_per_epoch
    if total < 1:
        raise InputError(f"there is no step to take: num_epochs is {trainer.num_epochs}")
    with contextlib.ExitStack() as stack:
        stack.enter_context(quiet_orbax())
        preemption = stack.enter_context(Preemption())
        on_first_process(lambda: claim_workdir(workdir, config))
        if not everywhere(workdir.is_dir()):
            raise InputError(f"{workdir} must be on a disk that all hosts share")
        checkpoints = stack.enter_context(Checkpoints(workdir, keep=config.keep_checkpoints))
        state, progress = _first_state(config, workdir, trainer, checkpoints, total)
        log = Log(
            workdir,
            start=progress.step,
            total=total,
            batch_size=trainer.batch_size,
            tensorboard=config.tensorboard,
        )
        stack.enter_context(log)
        batches = make_batches(progress.step)
        stack.callback(getattr(batches, "close", lambda: None))
        _run(config, trainer, state, progress, batches, total, preemption, checkpoints, log)
        checkpoints.wait()
    if jax.process_index() == 0:
        if progress.step < total:
            print(f"stopped after step {progress.step}; the same command goes on", file=sys.stderr)
        else:
            print(f"wrote {workdir}")


def check_settings(config: ConfigDict) -> None:
    """Makes sure of what the loop reads from the config.

    Args:
      config: of the experiment.

    Raises:
      InputError: naming the field that does not do.
    """
    least = {
        "total_steps": 0,
        "log_every": 1,
        "checkpoint_every": 0,
        "keep_checkpoints": 1,
        "picture_every": 0,
        "skip_nonfinite_steps": 0,
        "warmup_steps": 0,
        "accumulate_steps": 1,
    }
    for name, lowest in least.items():
        if config[name] < lowest:
            raise InputError(f"config.{name} is {config[name]} and must be at least {lowest}")
    if not 0 <= config.ema_decay < 1:
        raise InputError(
            f"config.ema_decay is {config.ema_decay} and must be at least 0 and below 1"
        )
    if config.init_networks and not config.init_from:
        raise InputError("config.init_networks says what to take of init_from: give that, too")
    if config.train_params.dropout_inc_epoch <= 0:
        raise InputError(
            f"config.train_params.dropout_inc_epoch is {config.train_params.dropout_inc_epoch} and "
            "must be above 0: for a constant share set dropout_startp to dropout_maxp"
        )
    # What is kept is divided by the share that is kept.
    if config.dropout_rescale and not config.train_params.dropout_maxp < 1:
        raise InputError(
            f"config.train_params.dropout_maxp is {config.train_params.dropout_maxp} and must be "
            "below 1 with config.dropout_rescale"
        )


def _first_state(
    config: ConfigDict, workdir: Path, trainer: Trainer, checkpoints: Checkpoints, total: int
) -> tuple[TrainState, Progress]:
    """The newest checkpoint's state, or a new one; and the config is recorded."""
    abstract = trainer.abstract_state()
    size = tree_bytes(abstract)
    if (checkpoints.latest_step or 0) < total:
        on_first_process(lambda: check_disk(workdir, size, config.keep_checkpoints))
    if checkpoints.latest_step is None:
        state = trainer.create_state()
        progress = Progress(steps_per_epoch=trainer.steps_per_epoch, batch_size=trainer.batch_size)
    else:
        state, progress = checkpoints.restore(abstract)
        _check_same_epochs(progress, trainer)
    on_first_process(lambda: record_config(workdir, config))
    return state, progress


def _check_same_epochs(progress: Progress, trainer: Trainer) -> None:
    """Or the run would jump to another epoch, and so in its schedules and its data."""
    before = progress.steps_per_epoch, progress.batch_size
    now = trainer.steps_per_epoch, trainer.batch_size
    if before != now:
        raise InputError(
            f"this run has {before[0]} steps an epoch of batch {before[1]}, and the config and "
            f"clips now make {now[0]} of {now[1]}: take the same batch_size, num_repeats and "
            "clips, or another --workdir"
        )


def _run(
    config: ConfigDict,
    trainer: Trainer,
    state: TrainState,
    progress: Progress,
    batches: Iterator[Batch],
    total: int,
    preemption: Preemption,
    checkpoints: Checkpoints,
    log: Log,
) -> None:
    """Takes steps until all are taken or a signal comes; `progress` tells how far it got."""
    unseen = UnseenMetrics(progress, config.skip_nonfinite_steps)
    arriving = device_batches(batches, trainer.mesh)
    step = progress.step
    trainer.start(step)
    usual = min(config.checkpoint_every or trainer.steps_per_epoch, trainer.steps_per_epoch)

    def save() -> None:
        unseen.look()  # what is not finite is never saved
        # A few easy batches, as before a signal, are not to make the best checkpoint.
        checkpoints.save(state, progress, unseen.take_mean_loss(math.ceil(usual / 2)))

    while step < total and not preemption.reached(step):
        with log.waiting():
            batch, names = next(arriving)
        state, metrics = trainer.step(state, batch)
        step += 1
        unseen.add(step, metrics, names)
        log.advance()
        if step % config.log_every == 0 or step == total:
            epoch = (step - 1) // trainer.steps_per_epoch
            log.write(step, epoch, unseen.look(), progress.nonfinite_steps)
        if _due(step, config.checkpoint_every) or _due(step, trainer.steps_per_epoch):
            save()
        if _due(step, config.picture_every):
            outputs = trainer.outputs(state, batch, PICTURED_SAMPLES)
            if jax.process_index() == 0:
                outputs = jax.device_get(outputs)
                log.picture(step, animation_sheet(outputs, outputs["source"], outputs["driving"]))
    if step > (checkpoints.latest_step or 0):
        save()


def _due(step: int, every: int) -> bool:
    """Whether it is time; never if `every` is 0."""
    return every > 0 and step % every == 0


class UnseenMetrics:
    """Metrics of steps that the host has not looked at, because looking would stop the devices."""

    def __init__(self, progress: Progress, tolerated: int):
        """Begins with none.

        Args:
          progress: kept up to date with the steps looked at.
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
          metrics: see `Trainer.step`.
          names: of the batch's clips.
        """
        self._waiting.append((step, metrics, names))
        if len(self._waiting) > _STEPS_IN_FLIGHT:
            # The devices still have the steps after this one, so they do not stop.
            jax.block_until_ready(self._waiting[-1 - _STEPS_IN_FLIGHT][1])

    def look(self) -> dict[str, float]:
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
                raise NonFiniteLossError(_tell(step, self._latest, names))
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


def _tell(step: int, metrics: dict[str, float], names: list[str]) -> str:
    told = ", ".join(
        f"{name} {value:.6g}"
        for name, value in metrics.items()
        if name.startswith("loss") or not math.isfinite(value)
    )
    return (
        f"step {step} is not finite: {told}; clips: {', '.join(dict.fromkeys(names))}. "
        "Nothing was saved since; --config.skip_nonfinite_steps=N leaves out N such steps in a row"
    )
