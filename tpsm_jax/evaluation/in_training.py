"""Evaluation during a training run: the same few test clips every time."""

import contextlib
import itertools
import sys
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict
from tqdm import tqdm

from tpsm_jax.animation.frames import frames_at_once
from tpsm_jax.errors import InputError
from tpsm_jax.evaluation.clip_frames import BrokenClipError, EvaluationClip, checked_frames
from tpsm_jax.evaluation.measures import mean_over_frames
from tpsm_jax.evaluation.reconstruction import Reconstructor
from tpsm_jax.models.interface import Variables
from tpsm_jax.models.registry import build_model
from tpsm_jax.parallel.distributed import gathered, same_everywhere
from tpsm_jax.parallel.sharding import replicated


class InTrainingEvaluation:
    """Reconstructs clips as eval.py does; processes share the clips, and devices the frames.

    Everything is compiled at the first call.
    """

    def __init__(self, config: ConfigDict, mesh: Mesh, clips: Sequence[EvaluationClip]):
        """Checks that all processes have the same clips; reads none.

        Args:
          config: the experiment's config.
          mesh: the devices that hold the variables, see `make_mesh`.
          clips: their frames have `config.image_size`, the same in every process.

        Raises:
          InputError: the processes have different clips.
        """
        names = repr([clip.name for clip in clips])
        if not same_everywhere(zlib.crc32(names.encode(errors="surrogateescape")) >> 1):
            raise InputError(f"hosts see different test clips in {config.dataset.path}")
        self._config, self._mesh, self._clips = config, mesh, clips
        # Computes in float32, as eval.py does, whatever training computes in.
        self._model = build_model(config.model_params)
        self._devices = list(mesh.local_devices)
        count = len(self._devices)
        enough = -(-config.eval_frames // count) * count
        self._batch_size = min(frames_at_once(None, count), enough)
        self._gather = jax.jit(lambda tree: tree, out_shardings=replicated(mesh))
        self._reported: set[str] = set()

    def __call__(self, variables: Variables, stop: Callable[[], bool]) -> dict[str, float]:
        """Measures a model. A collective: every process calls it.

        A clip that cannot be read is left out, and reported on stderr once.

        Args:
          variables: on the mesh, in any layout.
          stop: whether to give up; called before every clip.

        Returns:
          "eval/NAME" for the totals of docs/evaluation.md over the first `config.eval_frames`
          frames of the clips, "eval/l1_static" for the baseline that repeats the source, and
          "eval/clips", the number of clips read; the same in every process. Empty if it gave up.

        Raises:
          InputError: no clip can be read.
        """
        reconstructor = Reconstructor(
            (self._config, self._model, self._on_own_devices(variables)),
            batch_size=self._batch_size,
            devices=self._devices,
        )
        index, processes = jax.process_index(), jax.process_count()
        records: dict[str, Any] = {}
        broken: dict[str, str] = {}
        # No bar in a log file, where the training's bar prints a line every now and then.
        with tqdm(
            desc="evaluating",
            total=len(self._clips),
            unit="clip",
            leave=False,
            disable=True if index else None,
        ) as bar:
            for first in range(0, len(self._clips), processes):
                if stop():
                    return {}
                # In the last round some processes have no clip.
                for clip in self._clips[first + index : first + index + 1]:
                    try:
                        records[clip.name] = self._run(reconstructor, clip)
                    except BrokenClipError as error:
                        broken[clip.name] = str(error)
                        self._report_once(clip.name, str(error))
                bar.update(processes)
        return self._totals(gathered({"records": records, "broken": broken}))

    def _on_own_devices(self, variables: Variables) -> Variables:
        """The whole variables on every device of this process."""
        return multihost_utils.global_array_to_host_local_array(
            self._gather(variables), self._mesh, P()
        )

    def _run(self, reconstructor: Reconstructor, clip: EvaluationClip) -> dict[str, Any]:
        frames = checked_frames(clip.frames, clip.name, reconstructor.size)
        with contextlib.closing(frames):
            some = itertools.islice(frames, self._config.eval_frames)
            return reconstructor.run(some)._asdict()

    def _report_once(self, name: str, reason: str) -> None:
        if name not in self._reported:
            self._reported.add(name)
            tqdm.write(f"left out: {reason}", file=sys.stderr)

    def _totals(self, shares: list[dict[str, Any]]) -> dict[str, float]:
        """Means over the clips of all processes."""
        found = {name: record for share in shares for name, record in share["records"].items()}
        # In the clips' order: sums are bit-identical only in one order.
        records = [found[clip.name] for clip in self._clips if clip.name in found]
        if not records:
            reason = next(reason for share in shares for reason in share["broken"].values())
            raise InputError(
                f"none of the {len(self._clips)} test clips can be read; the first: {reason}"
            )
        return {
            **{
                f"eval/{name}": value
                for name, value in mean_over_frames(records, "metrics").items()
            },
            "eval/l1_static": mean_over_frames(records, "static")["l1"],
            "eval/clips": len(records),
        }
