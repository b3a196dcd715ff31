"""The clips that one process computes, and the records of all processes' clips."""

import contextlib
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from tpsm_jax.errors import InputError
from tpsm_jax.evaluation.clip_frames import BrokenClipError, EvaluationClip, checked_frames
from tpsm_jax.evaluation.measures import mean_over_frames
from tpsm_jax.evaluation.output import CLIPS, ClipFiles, clip_file, finished_clip, write_json
from tpsm_jax.evaluation.reconstruction import Reconstructor


def unfinished(clips: Sequence[EvaluationClip], folders: Sequence[Path]) -> list[EvaluationClip]:
    """The clips without a record in at least one of the models' folders."""
    return [
        clip for clip in clips if any(finished_clip(each, clip.name) is None for each in folders)
    ]


def run_share(
    reconstructor: Reconstructor, folder: Path, clips: Sequence[EvaluationClip]
) -> dict[str, str]:
    """Computes the clips that are not finished yet, and writes their files.

    Args:
      reconstructor: computes the model's results.
      folder: the model's folder.
      clips: the clips of this process.

    Returns:
      Name -> reason, for clips that cannot be read.

    Raises:
      InputError: a file cannot be written, or a clip has another size.
    """
    broken = {}
    hidden = jax.process_index() > 0
    # A clip's picture is compressed after its last frame; the next clip need not wait for it.
    with ThreadPoolExecutor(1, "end_of_clip") as thread:
        ending: Future[None] | None = None
        for clip in tqdm(clips, folder.name, unit="clip", disable=hidden):
            if finished_clip(folder, clip.name) is not None:
                continue
            try:
                files, record = _run_clip(reconstructor, folder, clip)
            except BrokenClipError as error:
                broken[clip.name] = str(error)
                tqdm.write(f"left out: {error}", file=sys.stderr)
                continue
            earlier, ending = ending, thread.submit(_end_clip, files, folder, record)
            if earlier is not None:
                earlier.result()
        if ending is not None:
            ending.result()
    return broken


def _run_clip(
    reconstructor: Reconstructor, folder: Path, clip: EvaluationClip
) -> tuple[contextlib.ExitStack, dict[str, Any]]:
    """Computes a clip; returns its files, still to be closed, and its record."""
    size = reconstructor.size
    source = None
    if clip.source is not None:
        with contextlib.closing(checked_frames(clip.source, clip.name, size)) as frames:
            source = next(frames)
    bar = tqdm(desc=clip.name, unit="frame", leave=False, disable=jax.process_index() > 0)
    with bar, contextlib.ExitStack() as stack:
        files = stack.enter_context(ClipFiles(folder, clip.name, clip.frame_rate(), source))

        def write(driving: np.ndarray, results: np.ndarray, targets: np.ndarray) -> None:
            files.write(driving, results, None if clip.truth is None else targets)
            bar.update(len(results))

        truth = None if clip.truth is None else clip.truth()
        frames = checked_frames(clip.frames, clip.name, size)
        result = reconstructor.run(frames, source=source, truth=truth, sink=write)
        return stack.pop_all(), {"name": clip.name, **result._asdict()}


def _end_clip(files: contextlib.ExitStack, folder: Path, record: dict[str, Any]) -> None:
    files.close()
    write_json(clip_file(folder, CLIPS, record["name"]), record)


def with_numbers(
    entry: Mapping[str, Any],
    folder: Path,
    clips: Sequence[EvaluationClip],
    broken: Mapping[str, str],
) -> dict[str, Any]:
    """Adds the numbers of its clips to a model's entry.

    Args:
      entry: the model's entry of metrics.json.
      folder: the model's folder.
      clips: the clips of all processes.
      broken: name -> reason, for clips that could not be read.

    Returns:
      The extended entry.

    Raises:
      InputError: a clip has neither numbers nor a reason.
    """
    records = []
    for clip in clips:
        if record := finished_clip(folder, clip.name):
            records.append(record)
        elif clip.name not in broken:
            raise InputError(
                f"{folder} has no record of the clip {clip.name}: --output must lie on a disk "
                "that all hosts see"
            )
    return {
        **entry,
        "frames": sum(record["frames"] for record in records),
        "totals": mean_over_frames(records, "metrics"),
        "static": mean_over_frames(records, "static"),
        "detections": [],
        "clips": records,
    }
