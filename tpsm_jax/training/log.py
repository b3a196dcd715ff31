"""The record of a run: metrics.jsonl, a progress bar, pictures, and TensorBoard if wanted.

WORKDIR/metrics.jsonl          one line a logged step
WORKDIR/pictures/00001000.png  what the model did at step 1000
WORKDIR/tensorboard/           the same for TensorBoard
"""

import contextlib
import importlib
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import jax
import numpy as np
from PIL import Image
from tqdm import tqdm

from tpsm_jax.checkpoints.files import METRICS
from tpsm_jax.checkpoints.steps import HELD_OUT_L1, LOSS
from tpsm_jax.errors import InputError, writing
from tpsm_jax.runtime.atomic_files import replace_text, replaced
from tpsm_jax.runtime.json_files import parse_json

TENSORBOARD = "tensorboard"
TENSORBOARD_MISSING = (
    "config.tensorboard needs tensorboardX: pip install -c constraints.txt -e '.[tensorboard]'"
)
_ON_THE_BAR = {LOSS: "loss", HELD_OUT_L1: "held-out l1"}


class Log:
    """Writes the record of a run from a step on, in the first of several processes."""

    def __init__(
        self,
        workdir: Path,
        *,
        start: int,
        total: int,
        batch_size: int,
        tensorboard: bool = False,
    ):
        """Opens the files; lines about later steps than `start` are dropped.

        Args:
          workdir: the run's folder.
          start: steps taken before.
          total: steps of the whole run.
          batch_size: samples a step, of all processes.
          tensorboard: write for TensorBoard as well.

        Raises:
          InputError: if tensorboardX is wanted and not installed, or a file cannot be written.
        """
        self._workdir = workdir
        self._batch_size = batch_size
        self._keeps = jax.process_index() == 0
        self._tensorboard = _tensorboard_writer(workdir, start) if tensorboard else None
        path = workdir / METRICS if self._keeps else Path(os.devnull)
        with writing(path):
            if self._keeps:
                drop_lines_after(path, start)
            self._file = open(path, "a")  # noqa: SIM115  # __exit__ closes it
        self._bar = tqdm(
            desc="training",
            total=total,
            initial=start,
            unit="step",
            # In a file a line every half minute is enough.
            mininterval=0.1 if sys.stderr.isatty() else 30,
            dynamic_ncols=True,
            disable=not self._keeps,
        )
        self._on_the_bar: dict[str, str] = {}
        self._since, self._steps, self._waited = time.perf_counter(), 0, 0.0

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the time spent within as waiting for data."""
        begin = time.perf_counter()
        yield
        self._waited += time.perf_counter() - begin

    @contextlib.contextmanager
    def pausing(self) -> Iterator[None]:
        """Leaves the time spent within out of the speeds."""
        begin = time.perf_counter()
        yield
        self._since += time.perf_counter() - begin

    def advance(self) -> None:
        """Counts a step."""
        self._steps += 1
        self._bar.update()

    def write(
        self, step: int, epoch: int, metrics: Mapping[str, float], nonfinite_steps: int
    ) -> None:
        """Writes a line about a step.

        Args:
          step: steps taken, this one included.
          epoch: the epoch that this step belongs to, counted from 0.
          metrics: metrics of this very step, with those of its evaluation; what is not finite
            becomes null, JSON having no such number.
          nonfinite_steps: steps of the run so far that were not finite.

        Raises:
          InputError: if the disk does not take it.
        """
        elapsed = max(time.perf_counter() - self._since, 1e-9)
        line = {
            "step": step,
            "epoch": epoch,
            "loss": metrics["loss"],
            **metrics,
            "steps_per_second": self._steps / elapsed,
            "samples_per_second": self._steps * self._batch_size / elapsed,
            "data_wait_share": min(self._waited / elapsed, 1.0),
            "nonfinite_steps": nonfinite_steps,
        }
        self._since, self._steps, self._waited = time.perf_counter(), 0, 0.0
        strict = {key: value if math.isfinite(value) else None for key, value in line.items()}
        with writing(self._workdir / METRICS):
            self._file.write(json.dumps(strict) + "\n")
            self._file.flush()
        self._on_the_bar |= {
            title: f"{metrics[name]:.4g}" for name, title in _ON_THE_BAR.items() if name in metrics
        }
        self._bar.set_postfix(self._on_the_bar, refresh=False)
        if self._tensorboard:
            with writing(self._workdir / TENSORBOARD):
                for key, value in line.items():
                    if key != "step":
                        self._tensorboard.add_scalar(key, value, step)

    def picture(self, step: int, picture: np.ndarray) -> None:
        """Keeps a picture of a step.

        Args:
          step: steps taken.
          picture: [H, W, 3] uint8.

        Raises:
          InputError: if the disk does not take it.
        """
        if not self._keeps:
            return
        folder = self._workdir / "pictures"
        with writing(folder):
            folder.mkdir(exist_ok=True)
            with replaced(folder / f"{step:08d}.png") as partial:
                Image.fromarray(picture).save(partial, format="PNG")
        if self._tensorboard:
            with writing(self._workdir / TENSORBOARD):
                self._tensorboard.add_image("pictures", picture, step, dataformats="HWC")

    def __enter__(self) -> Self:
        """Nothing is to be done."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Closes the files and leaves the bar's line.

        Raises:
          InputError: if the disk does not take the rest, and no other error is on its way.
        """
        self._bar.close()
        # Every line was flushed, so only one that failed before can fail again.
        with contextlib.suppress(OSError):
            self._file.close()
        if self._tensorboard:
            place = self._workdir / TENSORBOARD
            with contextlib.suppress(OSError) if kind else writing(place):
                self._tensorboard.close()


def drop_lines_after(path: Path, step: int) -> None:
    """Drops the lines of later steps, and any that is no whole line, from metrics.jsonl.

    Args:
      path: the file, which may be missing.
      step: the last to keep.
    """
    if not path.exists():
        return
    lines = path.read_text(errors="replace").splitlines(keepends=True)
    kept = [line for line in lines if line.endswith("\n") and _step_of(line) <= step]
    if kept != lines:
        replace_text(path, "".join(kept))


def _step_of(line: str) -> float:
    try:
        return int(parse_json(line)["step"])
    except (ValueError, TypeError, KeyError, OverflowError):
        return math.inf


def _tensorboard_writer(workdir: Path, start: int) -> Any:
    try:
        module = importlib.import_module("tensorboardX")
    except ImportError as error:
        raise InputError(TENSORBOARD_MISSING) from error
    if jax.process_index() != 0:
        return None
    # The viewer hides what an interrupted run wrote of later steps.
    place = workdir / TENSORBOARD
    with writing(place):
        return module.SummaryWriter(
            str(place),
            purge_step=start + 1,
            # Two within a second would have one name otherwise.
            filename_suffix=f".{start}",
        )
