"""The training batches of a data set, and the whole clips that evaluation reads."""

import dataclasses
import functools
import zlib
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from data.clips import Clip, find_clips, fit, group_by_identity
from data.mixing import MixedOrder, whole_weights
from data.pipeline import Batches
from data.prepare import is_prepared, open_prepared
from data.puppets.data_set import draw_data_set
from data.resize_crop import ResizeCrop
from data.sampling import SampleOrder
from tpsm_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Part:
    """A data set, alone or one of several that are mixed.

    Attributes:
      path: the prepared data set or the folder.
      is_prepared: which of the two.
      entries: what a pass runs over: the clips that each entry chooses among, one or those of an
        identity.
      by_identity: whether an entry is an identity.
    """

    path: Path
    is_prepared: bool
    entries: list[list[Clip]]
    by_identity: bool

    def __str__(self) -> str:
        kind = "prepared data set" if self.is_prepared else "folder of clips"
        count = sum(len(clips) for clips in self.entries)
        identities = f", {len(self.entries)} identities" if self.by_identity else ""
        return f"{self.path}: {kind}, {count} clips{identities}"


@dataclasses.dataclass(frozen=True)
class ClipDataset:
    """Clips to draw pairs of frames from.

    Attributes:
      parts: the data sets.
      weights: of each in a mixture, whole numbers; of a single one it says nothing.
      image_size: (height, width) of the frames handed out.
      resize_crop: MGif's random resize and crop, or None.
    """

    parts: list[Part]
    weights: tuple[int, ...]
    image_size: tuple[int, int]
    resize_crop: ResizeCrop | None

    @functools.cached_property
    def entries(self) -> list[list[Clip]]:
        """Those of all parts, one part after the other."""
        return [clips for part in self.parts for clips in part.entries]

    def describe(self) -> str:
        """A line for each data set: of which kind it is, how large, and its share in a mixture."""
        lines = [str(part) for part in self.parts]
        if len(lines) > 1:
            shares = [weight / sum(self.weights) for weight in self.weights]
            lines = [
                f"{line}, {share:.1%} of the samples"
                for line, share in zip(lines, shares, strict=True)
            ]
        return "\n".join(lines)

    def fingerprint(self) -> int:
        """A number below 2**31 that changes with the names of the clips and with their order."""
        names = [[clip.name for clip in clips] for clips in self.entries]
        return zlib.crc32(repr(names).encode(errors="surrogateescape")) >> 1

    def order(self, *, batch_size: int, num_repeats: int, seed: int) -> SampleOrder:
        """Which entry each sample is drawn from; the arguments are those of `batches`.

        Raises:
          InputError: the batch is larger than an epoch.
        """
        count = len(self.entries)
        if len(self.parts) == 1:
            return SampleOrder(seed, count, num_repeats, batch_size)
        sizes = tuple(len(part.entries) for part in self.parts)
        return MixedOrder(seed, count, num_repeats, batch_size, sizes, self.weights)

    def samples_per_epoch(self, num_repeats: int) -> int:
        """Samples of an epoch, those of an unfinished last batch included."""
        return num_repeats * len(self.entries)

    def steps_per_epoch(self, *, batch_size: int, num_repeats: int) -> int:
        """Whole batches of an epoch.

        Raises:
          InputError: there is none.
        """
        order = self.order(batch_size=batch_size, num_repeats=num_repeats, seed=0)
        return order.steps_per_epoch

    def batches(
        self,
        *,
        batch_size: int,
        num_repeats: int,
        seed: int,
        start_step: int = 0,
        process_index: int = 0,
        process_count: int = 1,
        workers: int = 0,
    ) -> Batches:
        """Endless batches, the same for the same arguments; none before `start_step` is read.

        Args:
          batch_size: of all processes together. Sample i = step * batch_size + row is the same
            however many processes there are; process p of P gets the p-th of P equal parts.
          num_repeats: passes over the entries that count as one epoch.
          seed: of the run.
          start_step: the first batch to hand out.
          process_index: p.
          process_count: P.
          workers: threads that read; 0 for one a core that this process may use.

        Returns:
          An iterator of {"source": [b, H, W, 3] uint8, "driving": likewise, "name": list of b
          names}; source is the earlier frame. It ends (`close`, or `with`) by itself with the
          program. Where a clip cannot be read it raises an `InputError`, in the place of its batch.

        Raises:
          InputError: the batch does not divide among the processes or is larger than an epoch;
            TensorFlow is not installed.
        """
        if batch_size % process_count:
            raise InputError(
                f"batch_size {batch_size} does not divide among {process_count} processes"
            )
        order = self.order(batch_size=batch_size, num_repeats=num_repeats, seed=seed)
        share = batch_size // process_count

        def number(n: int) -> int:
            step, row = divmod(n, share)
            return step * batch_size + process_index * share + row

        return Batches(
            lambda sample: self._read(order, sample),
            lambda sample: self._clip(order, sample).name,
            number,
            image_size=self.image_size,
            batch_size=share,
            start=start_step,
            workers=workers,
        )

    def _clip(self, order: SampleOrder, sample: int) -> Clip:
        clips = self.entries[order.entry(sample)]
        return clips[int(order.draws(sample).clip * len(clips))]

    def _read(self, order: SampleOrder, sample: int) -> tuple[np.ndarray, np.ndarray]:
        draws = order.draws(sample)
        pair = self._clip(order, sample).pair(*draws.frames)
        source, driving = (fit(frame, self.image_size) for frame in pair)
        if self.resize_crop is not None:
            source, driving = self.resize_crop(np.stack([source, driving]), draws)
        return source, driving


def open_dataset(config: ConfigDict, split: str = "train") -> ClipDataset:
    """Opens the data set that a configuration names.

    Args:
      config: `image_size`, `dataset` and `dataset_params` are read. With a section
        `dataset_params.puppets` {clips, frames, size} the clips are drawn first if `dataset.path`
        is not there; on a disk that several hosts share, draw them beforehand (python -m
        data.puppets).
      split: 'train', or 'test', whose entries are always clips, those of `dataset.path` alone.

    Returns:
      The data set. With `dataset_params.id_sampling` its entries are identities.

    Raises:
      InputError: no clips can be found or drawn there, other puppets were drawn there, the
        weights do not do, or `augmentation_params` asks for what is not offered.
    """
    params, image_size = config.dataset_params, _image_size(config)
    resize_crop = ResizeCrop.from_config(params.augmentation_params)
    if resize_crop is not None and resize_crop.size != image_size:
        raise InputError(
            f"augmentation_params.crop_param.size {resize_crop.size} is not image_size {image_size}"
        )
    by_identity = params.id_sampling and split == "train"
    paths = [Path(config.dataset.path)]
    weights: tuple[int, ...] = (1,)
    if split == "train" and (config.dataset.mix_paths or config.dataset.mix_weights):
        paths += map(Path, config.dataset.mix_paths)
        weights = whole_weights(config.dataset.mix_weights, len(paths))
    parts = []
    for path in paths:
        clips = _open_path(config, path, split)
        entries = group_by_identity(clips) if by_identity else [[clip] for clip in clips]
        parts.append(Part(path, is_prepared(path), entries, by_identity))
    return ClipDataset(parts, weights, image_size, resize_crop)


def open_clips(config: ConfigDict, split: str = "test") -> list[Clip]:
    """The clips of a data set, none of them read yet, also those that cannot be.

    Args:
      config: as for `open_dataset`.
      split: 'test' or 'train'.

    Returns:
      At least one, sorted by name.

    Raises:
      InputError: no clips can be found.
    """
    return _open_path(config, Path(config.dataset.path), split, for_evaluation=True)


def _open_path(
    config: ConfigDict, path: Path, split: str, *, for_evaluation: bool = False
) -> list[Clip]:
    if not config.dataset.path:
        raise InputError(
            "there is no data set: set --config.dataset.path to a prepared one or to a folder of "
            "clips"
        )
    params = config.dataset_params
    if is_prepared(path):
        return open_prepared(path, split)
    if "puppets" in params and path == Path(config.dataset.path):
        draw_data_set(path, **params.puppets)
    if not for_evaluation and not path.is_dir():
        raise InputError(
            f"there is no folder of clips {str(path)!r}: set --config.dataset.path (and mix_paths)"
        )
    return find_clips(
        path,
        split,
        image_size=_image_size(config),
        frame_shape=params.get("frame_shape"),
        allow_empty_folders=for_evaluation,
        any_height=for_evaluation,
    )


def _image_size(config: ConfigDict) -> tuple[int, int]:
    height, width = config.image_size
    return height, width
