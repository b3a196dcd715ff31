"""Checkpoints of a training run, by Orbax: written in the background, restored onto any devices.

    WORKDIR/checkpoints/STEP/
        variables/     {"params": ..., "batch_stats": ...} that are trained
        ema_params/    averaged parameters, where they are kept
        opt_state/     of the optimisers
        loop/          JSON: how far the run is, see `Progress`
        metrics/       JSON, what it is compared by: "loss", the mean since the checkpoint before,
                       if of enough steps; "eval/l1" of held-out clips, if they were evaluated

Parts lie apart so that evaluation reads only the first. A step is written under another name and
renamed when it is complete.
"""

import dataclasses
import math
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import (
    AnyPreservationPolicy,
    BestN,
    LatestN,
)

from tpsm_jax.checkpoints.orbax_io import (
    EMA_PARAMS,
    HELD_OUT_L1,
    LOSS,
    STEPS,
    VARIABLES,
    check_room,
    finished_steps,
    rank,
    stored_rank,
    tree_bytes,
)
from tpsm_jax.errors import InputError
from tpsm_jax.parallel.distributed import on_first_process
from tpsm_jax.training.state import TrainState

_OPT_STATE, _LOOP = "opt_state", "loop"


@dataclasses.dataclass
class Progress:
    """What the loop itself remembers.

    Attributes:
      step: steps taken, and so the position in the data.
      nonfinite_steps: how many of them had a loss or gradient that was not finite.
      nonfinite_in_a_row: how many of the latest.
      steps_per_epoch: of the run, because the epoch is told by the step alone.
      batch_size: of the run.
    """

    step: int = 0
    nonfinite_steps: int = 0
    nonfinite_in_a_row: int = 0
    steps_per_epoch: int = 0
    batch_size: int = 0


class _Manager(ocp.CheckpointManager):
    """Orbax's, but that it does not ask about signals, for its log alone.

    It would ask with other numbers than `Preemption`, from the thread that writes as well, and JAX
    takes the latest number for the place that this process has come to.
    """

    def reached_preemption(self, step: int) -> bool:
        return False


class Checkpoints:
    """The checkpoints of a workdir; leaving the `with` block waits until all are written."""

    def __init__(self, workdir: Path, *, keep: int):
        """Finds what is there, and clears away what an interrupted save left.

        Args:
          workdir: absolute.
          keep: of the latest; the best, see `rank`, is kept besides.

        Raises:
          InputError: if the record of one is damaged.
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
            # Or a disk that fails would leave threads waiting for minutes.
            async_options=ocp.options.AsyncOptions(create_directories_asynchronously=False),
        )
        self._manager = _Manager(workdir / STEPS, options=options)

    @property
    def latest_step(self) -> int | None:
        """The step of the newest checkpoint."""
        return self._manager.latest_step()

    def restore(self, abstract_state: TrainState) -> tuple[TrainState, Progress]:
        """Reads the newest checkpoint.

        Args:
          abstract_state: `jax.ShapeDtypeStruct` leaves with the shardings that are wanted, which
            may be others than when it was saved.

        Returns:
          The state, and how far the run is.

        Raises:
          InputError: if it is damaged, or of another model or optimiser.
        """
        step = self.latest_step
        assert step is not None
        place = self._workdir / STEPS / str(step)
        wanted = _parts(abstract_state)
        averaged = EMA_PARAMS in wanted
        if (place / EMA_PARAMS).is_dir() != averaged:
            raise InputError(
                f"{place} {'lacks' if averaged else 'has'} averaged parameters (ema_params), "
                f"which ema_decay in the config {'asks for' if averaged else 'does without'}; "
                "take the same config or another --workdir"
            )
        try:
            found = {name: _described(place / name) for name in wanted}
        except Exception as error:
            raise _damaged(self._workdir, step, error) from error
        for name, tree in wanted.items():
            _check_structure(place, name, _shapes(tree), found[name])
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
        state = TrainState(
            step=jax.device_put(np.int32(progress.step), abstract_state.step.sharding),
            params=parts[VARIABLES]["params"],
            batch_stats=parts[VARIABLES]["batch_stats"],
            opt_state=parts[_OPT_STATE],
            ema_params=parts[EMA_PARAMS] if averaged else None,
        )
        return state, progress

    def save(
        self,
        state: TrainState,
        progress: Progress,
        mean_loss: float | None,
        held_out_l1: float | None = None,
    ) -> None:
        """Begins to write a checkpoint; waits first for the one before.

        The arrays are copied before this returns, so the state may be donated.

        Args:
          state: after `progress.step` steps.
          progress: how far the run is.
          mean_loss: since the checkpoint before; None if it is of too few steps to be compared.
          held_out_l1: of clips that are not trained on; None if they were not evaluated.

        Raises:
          InputError: if this or the one before cannot be written.
        """
        parts = {name: ocp.args.PyTreeSave(tree) for name, tree in _parts(state).items()}
        loop = ocp.args.JsonSave(dataclasses.asdict(progress))
        known = {LOSS: mean_loss, HELD_OUT_L1: held_out_l1}
        record = {
            name: value
            for name, value in known.items()
            if value is not None and math.isfinite(value)
        }
        self.wait()
        # The saving is done by all together: one that failed alone would leave the others waiting.
        on_first_process(lambda: self._check_room(tree_bytes(_parts(state))))
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
        """Waits until what `save` began is on the disk.

        Raises:
          InputError: if it cannot be written.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._unwritten(error) from error

    def __enter__(self) -> Self:
        """Nothing is to be done."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Waits and closes; an error that is on its way already counts for more."""
        try:
            self._manager.close()
        except Exception as second:
            if error is None:
                raise self._unwritten(second) from second

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


def _parts(state: TrainState) -> dict[str, Any]:
    """Name of the folder -> the tree in it."""
    parts = {
        VARIABLES: {"params": state.params, "batch_stats": state.batch_stats},
        _OPT_STATE: state.opt_state,
    }
    return parts if state.ema_params is None else {**parts, EMA_PARAMS: state.ema_params}


def _restore_args(tree: Any) -> ocp.args.PyTreeRestore:
    return ocp.args.PyTreeRestore(
        item=tree, restore_args=ocp.checkpoint_utils.construct_restore_args(tree)
    )


def _described(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shapes and types of what a folder holds."""
    with ocp.PyTreeCheckpointer() as checkpointer:
        return _shapes(checkpointer.metadata(path).item_metadata.tree)


def _shapes(tree: Any) -> dict[str, tuple[tuple[int, ...], str]]:
    """Path -> shape and type; optax's tuples by position and name, as Orbax stores them."""
    leaves = jax.tree.leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): (
            tuple(leaf.shape),
            np.dtype(leaf.dtype).name,
        )
        for path, leaf in leaves
    }


def _check_structure(place: Path, part: str, wanted: dict[str, Any], found: dict[str, Any]) -> None:
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            there, here = (
                "x".join(map(str, entry[0])) + f" {entry[1]}" if entry else "not there"
                for entry in (found.get(name), wanted.get(name))
            )
            raise InputError(
                f"{place} is of another config: {part}/{name} is {there.strip()} in it and "
                f"{here.strip()} by this one; take the same config or another --workdir"
            )


def _check_records(workdir: Path) -> None:
    """Orbax reads the records of all checkpoints at once, and says not whose is damaged."""
    for step in finished_steps(workdir):
        try:
            stored_rank(workdir, step)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise _damaged(workdir, step, error) from error


def _damaged(workdir: Path, step: int, error: Exception) -> InputError:
    others = [other for other in finished_steps(workdir) if other != step]
    rest = f"go on from step {others[-1]}" if others else "start anew: there is no other"
    return InputError(
        f"the checkpoint {workdir / STEPS / str(step)} is damaged ({type(error).__name__}); "
        f"remove it to {rest}"
    )


def _reason(error: Exception) -> str:
    """What an error says, without the paths and specifications that TensorStore wraps it in."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].split(" [")[0].rsplit(": ", 1)[-1][:200]
