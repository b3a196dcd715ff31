"""A whole evaluation: every checkpoint on every clip, over all hosts, to metrics.json."""

import functools
import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax

from tpsm_jax.animation.frames import frames_at_once
from tpsm_jax.checkpoints.converted import Checkpoint, load_checkpoint
from tpsm_jax.checkpoints.vgg19 import check_vgg19, load_vgg19
from tpsm_jax.errors import InputError
from tpsm_jax.evaluation.checkpoints import (
    ChosenCheckpoint,
    checkpoint_entry,
    crc32,
    identity,
    weights_crc32,
)
from tpsm_jax.evaluation.clip_frames import EvaluationClip, check_first_frames
from tpsm_jax.evaluation.detection import Detector, add_scores, run_detector, write_truth
from tpsm_jax.evaluation.maker import package_version
from tpsm_jax.evaluation.output import METRICS, TRUTH, check_output, claim_output, write_json
from tpsm_jax.evaluation.reconstruction import RECONSTRUCTION, Reconstructor
from tpsm_jax.evaluation.share import run_share, unfinished, with_numbers
from tpsm_jax.models.interface import Variables
from tpsm_jax.models.registry import check_image_size, picture_size
from tpsm_jax.parallel.devices import print_devices
from tpsm_jax.parallel.distributed import gathered, on_every_process, on_first_process

SCHEMA_VERSION = 1
_SOFTWARE = ("jax", "jaxlib", "flax", "numpy", "pillow")
# Fields of `run` that may be spelled differently on another host.
_PATHS = ("data", "pairs")


class Settings(NamedTuple):
    """What to do with each checkpoint.

    Attributes:
      data: the data set's path, as given.
      mode: a mode of `Reconstructor`.
      batch_size: frames computed together, see `Reconstructor`.
      dataset: the key of `published.PUBLISHED` whose numbers are shown too; or "".
      vgg19: folder of VGG-19's weights; without it there is no perceptual distance.
      tables: tables of detectors, each the truth's and one for each checkpoint; only
        reconstructions have a truth.
      detectors: these make such tables of the pictures that this evaluation writes.
      options: everything else that decides which clips there are; "resize" is whether their
        frames are resized to the checkpoint's size.
    """

    data: str
    mode: str = RECONSTRUCTION
    batch_size: int | None = None
    dataset: str = ""
    vgg19: str | None = None
    tables: Sequence[Sequence[Path]] = ()
    detectors: Sequence[Detector] = ()
    options: Mapping[str, Any] = MappingProxyType({})


def evaluate(
    models: Sequence[ChosenCheckpoint],
    loaded: Sequence[Checkpoint],
    clips: Sequence[EvaluationClip],
    output: Path,
    settings: Settings,
    *,
    resume: bool = False,
) -> dict[str, Any]:
    """Evaluates checkpoints; every process takes its share of the clips.

    Args:
      models: what `choose_checkpoints` returned.
      loaded: what `load_checkpoints` returned for them.
      clips: the same in every process.
      output: the folder to write, on a disk that all hosts see.
      settings: choices of the run, as in `Settings`.
      resume: resume an evaluation that was interrupted; finished clips are kept.

    Returns:
      The content of metrics.json; its layout is in docs/evaluation.md. Only the first process has
        the numbers of detectors.

    Raises:
      InputError: the input cannot be used. A clip that cannot be read raises nothing: it is
        reported on stderr and listed under "broken".
    """
    size = on_every_process(lambda: _frame_size(models, loaded))
    batch_size = on_every_process(
        lambda: frames_at_once(settings.batch_size, jax.local_device_count())
    )
    vgg19 = _load_vgg19(settings.vgg19)
    entries = [checkpoint_entry(*pair) for pair in zip(models, loaded, strict=True)]
    is_drawn = "puppets" in settings.options
    run = {
        "schema_version": SCHEMA_VERSION,
        "tpsm_jax": package_version(),
        "mode": settings.mode,
        "data": str(settings.data if is_drawn else Path(settings.data).resolve()),
        "batch_size": batch_size,
        "vgg19_crc32": vgg19 and weights_crc32(vgg19),
        "dataset": settings.dataset,
        "clips": [clip.name for clip in clips],
        **settings.options,
        "models": [identity(*pair) for pair in zip(entries, loaded, strict=True)],
    }
    check_same_run(run)
    on_first_process(lambda: check_output(output, run, resume=resume))
    folders = [output / model.name for model in models]
    share = clips[jax.process_index() :: jax.process_count()]
    if not settings.options.get("resize"):
        on_every_process(lambda: check_first_frames(unfinished(share, folders), size))
    on_first_process(lambda: claim_output(output, run))
    print_devices(jax.devices())

    broken: dict[str, str] = {}
    for folder, checkpoint in zip(folders, loaded, strict=True):
        reconstructor = Reconstructor(
            checkpoint, mode=settings.mode, batch_size=batch_size, vgg19=vgg19
        )
        broken |= on_every_process(functools.partial(run_share, reconstructor, folder, share))
    broken = {name: reason for share in gathered(broken) for name, reason in share.items()}
    found = on_every_process(
        lambda: [
            with_numbers(entry, folder, clips, broken)
            for entry, folder in zip(entries, folders, strict=True)
        ]
    )
    metrics: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "mode": settings.mode,
        "data": {"path": settings.data, "dataset": settings.dataset, **settings.options},
        "batch_size": batch_size,
        "vgg19": vgg19 and {"folder": settings.vgg19, "weights_crc32": run["vgg19_crc32"]},
        "software": _software(),
        "models": found,
        "broken": [{"name": name, "reason": broken[name]} for name in sorted(broken)],
    }
    if not found[0]["clips"]:
        reason = next(iter(broken.values()), "")
        raise InputError(f"none of the {len(clips)} clips can be read; the first: {reason}")
    if settings.detectors:
        on_every_process(lambda: write_truth(output, share, size))

    def finish() -> None:
        tables = [*settings.tables]
        for detector in settings.detectors:
            looked_at = [output / TRUTH, *folders]
            maker = detector.maker()
            tables.append([run_detector(each, detector, size, maker) for each in looked_at])
        for each in tables:
            add_scores(output, metrics["models"], each)
        write_json(output / METRICS, metrics)

    on_first_process(finish)
    return metrics


def load_checkpoints(models: Sequence[ChosenCheckpoint]) -> list[Checkpoint]:
    """Reads the checkpoints. A collective: Orbax, which reads training runs, waits for all.

    Args:
      models: what `choose_checkpoints` returned.

    Returns:
      One checkpoint for each.

    Raises:
      InputError: one is damaged.
    """
    return [
        load_checkpoint(
            model.folder, step="latest" if model.step is None else model.step, ema=model.ema
        )
        for model in models
    ]


def check_same_run(run: Mapping[str, Any]) -> None:
    """Checks that all processes are about to do the same. A collective.

    Args:
      run: what is evaluated, as plain JSON.

    Raises:
      InputError: they differ.
    """
    first, *others = gathered(
        {field: crc32(value) for field, value in run.items() if field not in _PATHS}
    )
    for field, checksum in first.items():
        if any(other.get(field) != checksum for other in others):
            raise InputError(
                f"the hosts' {field} differ: each needs the same flags, clips and weights"
            )


def _load_vgg19(folder: str | None) -> Variables | None:
    if folder is None:
        return None
    on_every_process(lambda: check_vgg19(folder))
    return load_vgg19(folder)


def _frame_size(
    models: Sequence[ChosenCheckpoint], loaded: Sequence[Checkpoint]
) -> tuple[int, int]:
    """(height, width) of the frames; an error if the checkpoints take different sizes."""
    sizes = {
        picture_size(checkpoint.config): model.name
        for model, checkpoint in zip(models, loaded, strict=True)
    }
    if len(sizes) > 1:
        (one, name), (other, another) = list(sizes.items())[:2]
        raise InputError(
            f"{name} takes frames of {one[1]} x {one[0]} and {another} of {other[1]} x {other[0]}: "
            "evaluate them apart"
        )
    for checkpoint in loaded:
        check_image_size(checkpoint.config.model_params, *picture_size(checkpoint.config))
    return picture_size(loaded[0].config)


def _software() -> dict[str, str]:
    versions = {name: importlib.metadata.version(name) for name in _SOFTWARE}
    device = jax.devices()[0]
    return {
        "tpsm_jax": package_version(),
        "python": platform.python_version(),
        **versions,
        "device": f"{device.device_kind} ({device.platform})",
    }
