"""A whole evaluation: every checkpoint on every clip, over all hosts, and what is kept of it."""

import contextlib
import functools
import importlib.metadata
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from tqdm import tqdm

import tpsm_jax
from tpsm_jax.checkpoints import Checkpoint, load_checkpoint, load_vgg19
from tpsm_jax.errors import InputError
from tpsm_jax.evaluation.clips import BrokenClipError, EvaluationClip, checked_frames
from tpsm_jax.evaluation.detection import Detector, add_scores, make_table, write_truth
from tpsm_jax.evaluation.measures import total
from tpsm_jax.evaluation.models import ModelSpec, digest
from tpsm_jax.evaluation.output import (
    CLIPS,
    METRICS,
    TRUTH,
    ClipFiles,
    claim_output,
    finished_clip,
    write_json,
)
from tpsm_jax.evaluation.reconstruction import Mode, Reconstructor, frames_at_once
from tpsm_jax.models.motion_model import check_image_size
from tpsm_jax.training.distributed import gathered, on_every_process, on_first_process

SCHEMA_VERSION = 1
_SOFTWARE = ("jax", "jaxlib", "flax", "numpy", "pillow")

# From a checkpoint's configuration, its clips.
FindClips = Callable[[Any], list[EvaluationClip]]


class Settings(NamedTuple):
    """What is done with each checkpoint.

    Attributes:
      data: the data set's path, as given.
      mode: see `Reconstructor`.
      batch_size: likewise.
      dataset: of `published.PUBLISHED`, whose numbers stand beside; or "".
      vgg19: folder of VGG-19's weights, or None; no perceptual distance then.
      tables: of detectors, each the truth's table and one for each checkpoint; reconstructions
        alone have a truth.
      detectors: which make such tables here, of the pictures that this evaluation writes.
      options: whatever else decides which clips there are.
    """

    data: str
    mode: Mode = "reconstruction"
    batch_size: int | None = None
    dataset: str = ""
    vgg19: str | None = None
    tables: Sequence[Sequence[Path]] = ()
    detectors: Sequence[Detector] = ()
    options: dict[str, Any] = {}  # noqa: RUF012  # never written to


def evaluate(
    models: Sequence[ModelSpec],
    loaded: Sequence[Checkpoint],
    find_clips: FindClips,
    output: Path,
    settings: Settings,
    *,
    resume: bool = False,
) -> dict[str, Any]:
    """Evaluates checkpoints; every process takes its share of the clips.

    Args:
      models: as `choose_models` gives them.
      loaded: one for each, see `load_models`.
      find_clips: gives the clips of a checkpoint's configuration; they must be the same for all.
      output: the folder to write, on a disk that all hosts see.
      settings: see there.
      resume: go on with an evaluation that was interrupted; finished clips are kept.

    Returns:
      What metrics.json holds; its layout is in docs/evaluation.md. The numbers of detectors are
        there in the first process only.

    Raises:
      InputError: the input cannot be used. A clip that cannot be read is none: it is told on
        stderr and listed under "broken".
    """
    clips = on_every_process(lambda: _clips_of_all(models, loaded, find_clips))
    vgg19 = on_every_process(lambda: settings.vgg19 and load_vgg19(settings.vgg19))
    batch_size = frames_at_once(settings.batch_size, jax.local_device_count())
    entries = [_model_entry(*pair) for pair in zip(models, loaded, strict=True)]
    run = {
        "schema_version": SCHEMA_VERSION,
        "mode": settings.mode,
        "data": settings.data,
        "batch_size": batch_size,
        "vgg19": settings.vgg19,
        "dataset": settings.dataset,
        "clips": [clip.name for clip in clips],
        **settings.options,
        "models": [{k: v for k, v in entry.items() if k != "config"} for entry in entries],
    }
    on_first_process(lambda: claim_output(output, run, resume=resume))

    broken: dict[str, str] = {}
    share = clips[jax.process_index() :: jax.process_count()]
    for model, checkpoint in zip(models, loaded, strict=True):
        reconstructor = Reconstructor(
            checkpoint, mode=settings.mode, batch_size=batch_size, vgg19=vgg19
        )
        run_share = functools.partial(_run_share, reconstructor, output / model.name, share)
        broken |= on_every_process(run_share)
    broken = {name: reason for share in gathered(broken) for name, reason in share.items()}
    metrics: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "mode": settings.mode,
        "data": {"path": settings.data, "dataset": settings.dataset, **settings.options},
        "batch_size": batch_size,
        "software": _software(),
        "models": [
            _with_numbers(entry, output / model.name, clips)
            for entry, model in zip(entries, models, strict=True)
        ],
        "broken": [{"name": name, "reason": broken[name]} for name in sorted(broken)],
    }
    if not any(finished_clip(output / models[0].name, clip.name) for clip in clips):
        reason = next(iter(broken.values()), "")
        raise InputError(f"none of the {len(clips)} clips can be read; the first: {reason}")
    if settings.detectors:
        on_every_process(lambda: write_truth(output, share, reconstructor.size))

    def finish() -> None:
        tables = [*settings.tables]
        for detector in settings.detectors:
            folders = [output / name for name in (TRUTH, *(model.name for model in models))]
            tables.append([make_table(each, detector, reconstructor.size) for each in folders])
        for each in tables:
            add_scores(output, metrics["models"], each)
        write_json(output / METRICS, metrics)

    on_first_process(finish)
    return metrics


def load_models(models: Sequence[ModelSpec]) -> list[Checkpoint]:
    """Reads the checkpoints; to be called by all processes, because Orbax waits for all.

    Args:
      models: as `choose_models` gives them.

    Returns:
      One for each.

    Raises:
      InputError: one is damaged.
    """
    return [
        load_checkpoint(
            model.folder, step="latest" if model.step is None else model.step, ema=model.ema
        )
        for model in models
    ]


def _clips_of_all(
    models: Sequence[ModelSpec], loaded: Sequence[Checkpoint], find_clips: FindClips
) -> list[EvaluationClip]:
    """The clips, if all checkpoints take frames of one size."""
    sizes = {
        tuple(checkpoint.config.image_size): model.name
        for model, checkpoint in zip(models, loaded, strict=True)
    }
    if len(sizes) > 1:
        (one, name), (other, another) = list(sizes.items())[:2]
        raise InputError(
            f"{name} takes frames of {one[1]} x {one[0]} and {another} of {other[1]} x {other[0]}: "
            "evaluate them apart"
        )
    for checkpoint in loaded:
        check_image_size(checkpoint.config.model_params, *checkpoint.config.image_size)
    clips = find_clips(loaded[0].config)
    if not clips:
        raise InputError("there are no clips to evaluate on")
    return clips


def _run_share(
    reconstructor: Reconstructor, folder: Path, clips: Sequence[EvaluationClip]
) -> dict[str, str]:
    """Writes the files of the clips that are not there yet; the names of broken ones, and why."""
    broken = {}
    hidden = jax.process_index() > 0
    for clip in tqdm(clips, folder.name, unit="clip", disable=hidden):
        if finished_clip(folder, clip.name) is not None:
            continue
        try:
            _run_clip(reconstructor, folder, clip)
        except BrokenClipError as error:
            broken[clip.name] = str(error)
            tqdm.write(f"left out: {error}", file=sys.stderr)
    return broken


def _run_clip(reconstructor: Reconstructor, folder: Path, clip: EvaluationClip) -> None:
    size = reconstructor.size
    source = None
    if clip.source is not None:
        with contextlib.closing(checked_frames(clip.source, clip.name, size)) as frames:
            source = next(frames)
    with ClipFiles(folder, clip.name, clip.frame_rate, source) as files:
        result = reconstructor.run(
            checked_frames(clip.frames, clip.name, size), source=source, sink=files.write
        )
    write_json(
        folder / CLIPS / f"{clip.name}.json",
        {
            "name": clip.name,
            "frames": result.frames,
            "metrics": result.metrics,
            "static": result.static,
        },
    )


def _model_entry(model: ModelSpec, checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "name": model.name,
        "checkpoint": str(model.folder),
        "step": model.step,
        "ema": model.ema,
        "weights_crc32": digest(checkpoint.variables),
        "config": checkpoint.config.to_dict(),
    }


def _with_numbers(
    entry: dict[str, Any], folder: Path, clips: Sequence[EvaluationClip]
) -> dict[str, Any]:
    records = [record for clip in clips if (record := finished_clip(folder, clip.name))]
    return {
        **entry,
        "frames": sum(record["frames"] for record in records),
        "totals": total(records, "metrics"),
        "static": total(records, "static"),
        "detections": [],
        "clips": records,
    }


def _software() -> dict[str, str]:
    versions = {name: importlib.metadata.version(name) for name in _SOFTWARE}
    device = jax.devices()[0]
    return {
        "tpsm_jax": importlib.metadata.version(tpsm_jax.__name__),
        "python": platform.python_version(),
        **versions,
        "device": f"{device.device_kind} ({device.platform})",
    }
