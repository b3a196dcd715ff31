"""Checkpoints of a training run, by Orbax: written in the background, restored onto any devices.

    WORKDIR/checkpoints/STEP/
        variables/     {"params": ..., "batch_stats": ...} that are trained
        ema_params/    averaged parameters, where they are kept
        opt_state/     {optimizer: its state}
        loop/          JSON: how far the run is, see `Progress`
        metrics/       JSON, for comparing checkpoints: "loss", the mean since the checkpoint
                       before, if of enough steps; "eval/l1" on held-out clips, if evaluated

The parts are separate so that evaluation reads only the first. A step is written under another
name and renamed when it is complete.
"""

import dataclasses
import math
from pathlib import Path
from typing import Any, Self

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, LatestN

from tpsm_jax.checkpoints.files import EMA_PARAMS, STEPS, VARIABLES
from tpsm_jax.checkpoints.orbax_io import tree_bytes
from tpsm_jax.checkpoints.steps import HELD_OUT_L1, LOSS, finished_steps, rank, stored_rank
from tpsm_jax.checkpoints.structure import (
    OPT_STATE,
    State,
    StateT,
    check_structure,
    leaf_types,
    parts_of,
    stored_leaf_types,
)
from tpsm_jax.errors import InputError
from tpsm_jax.parallel.distributed import on_first_process
from tpsm_jax.runtime.disk import check_room

_LOOP = "loop"


@dataclasses.dataclass
class Progress:
    """What the training loop remembers in addition to the state.

    Attributes:
      step: number of steps taken, which gives the position in the data.
      nonfinite_steps: number of steps whose loss or gradient was not finite.
      nonfinite_in_a_row: number of such steps at the end, without a finite one between.
      steps_per_epoch: number of steps in an epoch; it must not change, because the epoch is
        computed from the step.
      batch_size: samples per step; it must not change either.
      skipped_samples: number of samples that were read from another clip, see `skip_broken`.
    """

    step: int = 0
    nonfinite_steps: int = 0
    nonfinite_in_a_row: int = 0
    steps_per_epoch: int = 0
    batch_size: int = 0
    skipped_samples: int = 0


class _Manager(ocp.CheckpointManager):
    """Orbax's manager, which must not ask about preemption signals.

    Orbax would ask only for its log, but with other step numbers than the training loop and also
    from its writing thread, and JAX takes the latest number as this process's position.
    """

    def reached_preemption(self, step: int) -> bool:
        return False


class Checkpoints:
    """The checkpoints of a workdir. Leaving the `with` block waits until all are written."""

    def __init__(self, workdir: Path, *, keep: int):
        """Finds the checkpoints and removes what an interrupted save left.

        Args:
          workdir: absolute path of the run's folder.
          keep: number of latest checkpoints to keep; the one with the best `rank` is kept too.

        Raises:
          InputError: if the record of a checkpoint is damaged.
        """
        self._workdir = workdir
        _check_records(workdir)
        options = ocp.CheckpointManagerOptions(
            # Together with max_to_keep, best_fn would delete the latest.
            preservation_policy=AnyPreservationPolicy(
                [
                    LatestN(keep),
                    BestN(
                        get_metric_fn=rank,
                        reverse=True,
                        n=1,
                        keep_checkpoints_without_metrics=False,
                    ),
                ]
            ),
            best_fn=rank,
            best_mode="min",
            cleanup_tmp_directories=True,
            # Otherwise a failing disk leaves threads waiting for minutes.
            async_options=ocp.options.AsyncOptions(create_directories_asynchronously=False),
        )
        self._manager = _Manager(workdir / STEPS, options=options)

    @property
    def latest_step(self) -> int | None:
        """The step of the newest checkpoint; None if there is none."""
        return self._manager.latest_step()

    def restore(self, abstract_state: StateT) -> tuple[StateT, Progress]:
        """Reads the newest checkpoint.

        Args:
          abstract_state: the state with `jax.ShapeDtypeStruct` leaves. Their shardings, which may
            differ from those at saving, say where the arrays go.

        Returns:
          The state, and how far the run is.

        Raises:
          InputError: if the checkpoint is damaged, or of another model or optimizer.
        """
        step = self.latest_step
        assert step is not None
        place = self._workdir / STEPS / str(step)
        wanted = parts_of(abstract_state)
        averaged = EMA_PARAMS in wanted
        if (place / EMA_PARAMS).is_dir() != averaged:
            raise InputError(
                f"{place} {'lacks' if averaged else 'has'} averaged parameters (ema_params), "
                f"which ema_decay in the config {'asks for' if averaged else 'does without'}; "
                "take the same config or another --workdir"
            )
        try:
            found = {name: stored_leaf_types(place / name) for name in wanted}
        except Exception as error:
            raise _damaged(self._workdir, step, error) from error
        for name, tree in wanted.items():
            check_structure(place, name, leaf_types(tree), found[name])
        try:
            parts = self._manager.restore(
                step,
                args=ocp.args.Composite(
                    **{name: _restore_args(tree) for name, tree in wanted.items()},
                    **{_LOOP: ocp.args.JsonRestore()},
                ),
            )
            progress = Progress(**parts[_LOOP])
        except Exception as error:
            # Orbax and TensorStore raise nearly anything on damaged files.
            raise _damaged(self._workdir, step, error) from error
        state = abstract_state.replace(
            step=jax.device_put(np.int32(progress.step), abstract_state.step.sharding),
            params=parts[VARIABLES]["params"],
            batch_stats=parts[VARIABLES]["batch_stats"],
            opt_state=parts[OPT_STATE],
            ema_params=parts[EMA_PARAMS] if averaged else None,
        )
        return state, progress

    def save(
        self,
        state: State,
        progress: Progress,
        mean_loss: float | None,
        held_out_l1: float | None = None,
    ) -> None:
        """Starts to write a checkpoint, once the one before is written.

        The arrays are copied before this returns, so the state may be donated.

        Args:
          state: the state after `progress.step` steps.
          progress: how far the run is.
          mean_loss: mean loss since the checkpoint before; None if too few steps make it
            incomparable.
          held_out_l1: L1 on clips that are not trained on; None if they were not evaluated.

        Raises:
          InputError: if this or the one before cannot be written.
        """
        parts = {name: ocp.args.PyTreeSave(tree) for name, tree in parts_of(state).items()}
        loop = ocp.args.JsonSave(dataclasses.asdict(progress))
        known = {LOSS: mean_loss, HELD_OUT_L1: held_out_l1}
        record = {
            name: value
            for name, value in known.items()
            if value is not None and math.isfinite(value)
        }
        self.wait()
        # All processes save together: one that failed alone would leave the others waiting.
        on_first_process(lambda: self._check_room(tree_bytes(parts_of(state))))
        try:
            self._manager.save(
                progress.step,
                args=ocp.args.Composite(**parts, **{_LOOP: loop}),
                metrics=record or None,
                force=True,
            )
        except Exception as error:
            raise self._unwritten(error) from error

    def wait(self) -> None:
        """Waits until what `save` started is on the disk.

        Raises:
          InputError: if it cannot be written.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._unwritten(error) from error

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Waits and closes. An error already being raised takes precedence over one of Orbax's."""
        try:
            self._manager.close()
        except Exception as second:
            if kind is None:
                raise self._unwritten(second) from second
        finally:
            # It holds the arrays that failed, which complain when they are collected.
            del self._manager

    def _check_room(self, needed: int) -> None:
        try:
            check_room(self._workdir, needed)
        except OSError as error:
            raise self._unwritten(error) from error

    def _unwritten(self, error: Exception) -> InputError:
        kept = finished_steps(self._workdir)
        rest = f"the newest whole one is of step {kept[-1]}" if kept else "there is none"
        return InputError(
            f"a checkpoint cannot be written to {self._workdir / STEPS} ({_reason(error)}); {rest}"
        )


def _restore_args(tree: Any) -> ocp.args.PyTreeRestore:
    return ocp.args.PyTreeRestore(
        item=tree, restore_args=ocp.checkpoint_utils.construct_restore_args(tree)
    )


def _check_records(workdir: Path) -> None:
    """Names the damaged record. Orbax reads all of them at once and does not say which it is."""
    for step in finished_steps(workdir):
        try:
            stored_rank(workdir, step)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise _damaged(workdir, step, error) from error


def _damaged(workdir: Path, step: int, error: Exception) -> InputError:
    others = [other for other in finished_steps(workdir) if other != step]
    rest = f"resume from step {others[-1]}" if others else "start from scratch: it is the only one"
    return InputError(
        f"the checkpoint {workdir / STEPS / str(step)} is damaged ({type(error).__name__}); "
        f"remove it to {rest}"
    )


def _reason(error: Exception) -> str:
    """Shortens an error to its message, without TensorStore's paths and specifications."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].split(" [")[0].rsplit(": ", 1)[-1][:200]
