"""The loop around the step: batches in, checkpoints, metrics and pictures out."""

import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
from ml_collections import ConfigDict

from tpsm_jax.checkpoints.orbax_io import quiet_orbax, tree_bytes
from tpsm_jax.checkpoints.run import Checkpoints, Progress
from tpsm_jax.checkpoints.steps import HELD_OUT_L1
from tpsm_jax.checkpoints.workdir import check_disk, claim_workdir, record_config
from tpsm_jax.errors import InputError, writing
from tpsm_jax.media.visualize import animation_sheet
from tpsm_jax.models.interface import Variables
from tpsm_jax.parallel.devices import print_devices
from tpsm_jax.parallel.distributed import everywhere, on_first_process
from tpsm_jax.parallel.sharding import HostBatch, device_batches
from tpsm_jax.runtime.run_lock import LOCK, only_run
from tpsm_jax.training.log import Log
from tpsm_jax.training.pending_metrics import PendingMetrics
from tpsm_jax.training.preemption import Preemption
from tpsm_jax.training.skipped_samples import SkippedSamples
from tpsm_jax.training.state import TrainState
from tpsm_jax.training.trainer import Trainer

PICTURED_SAMPLES = 4

# (variables, should_stop) -> metrics, "eval/l1" among them, the same in every process; {} if it was
# stopped. `should_stop` is a collective: every process calls it at the same points.
Evaluate = Callable[[Variables, Callable[[], bool]], dict[str, float]]


def train(
    config: ConfigDict,
    workdir: str | Path,
    trainer: Trainer,
    make_batches: Callable[[int], Iterator[HostBatch]],
    evaluate: Evaluate | None = None,
) -> None:
    """Trains from the workdir's newest checkpoint, or from the start, to the last step.

    A SIGTERM saves and returns, without the numbers of an evaluation that it interrupts; the same
    call resumes. Ctrl-C saves, too, and then raises `KeyboardInterrupt`; a second one ends the
    process at once. An error in one process alone, e.g. a log that cannot be written or a clip that
    cannot be read, ends that process; the others end by JAX's own timeout.

    Args:
      config: the config of the experiment, after `config.validate`. `total_steps`, if not 0,
        replaces the trainer's `num_epochs` as the end of the run, longer or shorter.
      workdir: a new folder, or the workdir of the same run.
      trainer: made from the same config.
      make_batches: step -> the endless batches of this process from that step on.
      evaluate: measures the model every `config.eval_every` steps and after the last one, before
        their checkpoints. It gets the averaged parameters where they are kept.

    Raises:
      InputError: if the workdir holds something else, another process trains in it, the run had
        other epochs, or a checkpoint is damaged or cannot be written.
      NonFiniteLossError: if more than `config.skip_nonfinite_steps` steps in a row were not
        finite. No checkpoint is written after them.
    """
    if config.eval_every and evaluate is None:
        raise ValueError("config.eval_every asks for an evaluation, and there is none")
    workdir = Path(workdir).absolute()
    total = config.total_steps or trainer.num_epochs * trainer.steps_per_epoch
    if total < 1:
        raise InputError(f"there is no step to take: num_epochs is {trainer.num_epochs}")
    with contextlib.ExitStack() as stack:
        stack.enter_context(quiet_orbax())
        preemption = stack.enter_context(Preemption())

        def claim() -> None:
            claim_workdir(workdir, config)
            with writing(workdir):
                stack.enter_context(only_run(workdir / LOCK, f"training in {workdir}"))

        on_first_process(claim)
        if not everywhere(workdir.is_dir()):
            raise InputError(f"{workdir} must be on a disk that all hosts share")
        checkpoints = stack.enter_context(Checkpoints(workdir, keep=config.keep_checkpoints))
        state, progress = _first_state(config, workdir, trainer, checkpoints, total)
        print_devices(list(trainer.mesh.devices.flat))
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
        _run(
            config,
            trainer,
            state,
            progress,
            batches,
            evaluate if config.eval_every else None,
            total,
            preemption,
            checkpoints,
            log,
        )
        checkpoints.wait()
    if jax.process_index() == 0:
        if progress.step < total:
            print(f"stopped after step {progress.step}; the same command resumes", file=sys.stderr)
        else:
            print(f"wrote {workdir}")
    if preemption.interrupted:
        raise KeyboardInterrupt


def _first_state(
    config: ConfigDict, workdir: Path, trainer: Trainer, checkpoints: Checkpoints, total: int
) -> tuple[TrainState, Progress]:
    """The newest checkpoint's state, or a new one. Records the config."""
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
    """Refuses another epoch length, with which schedules and data would jump."""
    before = progress.steps_per_epoch, progress.batch_size
    now = trainer.steps_per_epoch, trainer.batch_size
    if before != now:
        raise InputError(
            f"this run has {before[0]} steps an epoch of batch {before[1]}, and the config and "
            f"clips now make {now[0]} of {now[1]}: take the same batch_size, num_repeats and "
            "clips, or another --workdir. A clip that was broken may be any file of its name, or "
            "stay as it is with --config.skip_broken=N"
        )


def _run(
    config: ConfigDict,
    trainer: Trainer,
    state: TrainState,
    progress: Progress,
    batches: Iterator[HostBatch],
    evaluate: Evaluate | None,
    total: int,
    preemption: Preemption,
    checkpoints: Checkpoints,
    log: Log,
) -> None:
    """Takes steps until all are taken or a signal comes; counts them in `progress`."""
    pending = PendingMetrics(progress, config.skip_nonfinite_steps)
    skipped = SkippedSamples(progress, counts=config.skip_broken > 0)
    arriving = device_batches(skipped.watch(batches), trainer.mesh)
    step = progress.step
    usual = min(config.checkpoint_every or trainer.steps_per_epoch, trainer.steps_per_epoch)

    def save(held_out_l1: float | None = None) -> None:
        pending.fetch()  # raises before anything that is not finite is saved
        skipped.fetch()
        # A few easy batches, e.g. before a signal, must not make the best checkpoint.
        mean_loss = pending.take_mean_loss(math.ceil(usual / 2))
        checkpoints.save(state, progress, mean_loss, held_out_l1)

    while step < total and not preemption.reached():
        with log.waiting():
            batch, names = next(arriving)
        state, metrics = trainer.step(state, batch, step)
        step += 1
        pending.add(step, metrics, names)
        skipped.advance()
        log.advance()
        held_out: dict[str, float] = {}
        if evaluate and (_due(step, config.eval_every) or step == total):
            pending.fetch()  # raises before anything that is not finite is evaluated
            with log.pausing():
                held_out = evaluate(state.variables(), preemption.reached)
        if held_out or step % config.log_every == 0 or step == total:
            epoch = (step - 1) // trainer.steps_per_epoch
            line = {**pending.fetch(), **held_out, **skipped.fetch()}
            log.write(step, epoch, line, progress.nonfinite_steps)
        if held_out or _due(step, config.checkpoint_every) or _due(step, trainer.steps_per_epoch):
            save(held_out.get(HELD_OUT_L1))
        if _due(step, config.picture_every):
            outputs = trainer.outputs(state, batch, PICTURED_SAMPLES, step - 1)
            if jax.process_index() == 0:
                outputs = jax.device_get(outputs)
                log.picture(step, animation_sheet(outputs, outputs["source"], outputs["driving"]))
    if step > (checkpoints.latest_step or 0):
        save()


def _due(step: int, every: int) -> bool:
    """Whether `step` is a multiple of `every`; never if `every` is 0."""
    return every > 0 and step % every == 0
