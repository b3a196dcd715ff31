"""The training batches of a data set, and the whole clips that evaluation reads."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from data.clips import Clip, find_clips, fit, group_by_identity
from data.pipeline import Batches
from data.puppets.clips import draw_data_set
from data.resize_crop import ResizeCrop
from data.sampling import SampleOrder
from tpsm_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class ClipDataset:
    """Clips to draw pairs of frames from.

    Attributes:
      entries: what an epoch runs over: the clips that each entry chooses among, one or those of
        an identity.
      image_size: (height, width) of the frames handed out.
      resize_crop: MGif's random resize and crop, or None.
    """

    entries: list[list[Clip]]
    image_size: tuple[int, int]
    resize_crop: ResizeCrop | None

    def samples_per_epoch(self, num_repeats: int) -> int:
        """Samples of an epoch, those of an unfinished last batch included."""
        return num_repeats * len(self.entries)

    def steps_per_epoch(self, *, batch_size: int, num_repeats: int) -> int:
        """Whole batches of an epoch.

        Raises:
          InputError: there is none.
        """
        return SampleOrder(0, len(self.entries), num_repeats, batch_size).steps_per_epoch

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
          workers: threads that read; 0 to let tf.data choose.

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
        order = SampleOrder(seed, len(self.entries), num_repeats, batch_size)
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
        frames = self._clip(order, sample).pair(*draws.frames)
        pair = np.stack([fit(frame, self.image_size) for frame in frames])
        if self.resize_crop is not None:
            pair = self.resize_crop(pair, draws)
        return pair[0], pair[1]


def open_dataset(config: ConfigDict, split: str = "train") -> ClipDataset:
    """Opens the data set that a configuration names.

    Args:
      config: `image_size` and `dataset_params` are read. With a section `dataset_params.puppets`
        {clips, frames, size} the clips are drawn first if `root_dir` is not there; on a disk that
        several hosts share, draw them beforehand (python -m data.puppets).
      split: 'train', or 'test', whose entries are always clips.

    Returns:
      The data set. With `dataset_params.id_sampling` its entries are identities.

    Raises:
      InputError: no clips can be found or drawn there, other puppets were drawn there, or
        `augmentation_params` asks for what is not offered.
    """
    params, image_size = config.dataset_params, _image_size(config)
    resize_crop = ResizeCrop.from_config(params.augmentation_params)
    if resize_crop is not None and resize_crop.size != image_size:
        raise InputError(
            f"augmentation_params.crop_param.size {resize_crop.size} is not image_size {image_size}"
        )
    clips = _find_or_draw(config, split)
    by_identity = params.id_sampling and split == "train"
    entries = group_by_identity(clips) if by_identity else [[clip] for clip in clips]
    return ClipDataset(entries, image_size, resize_crop)


def read_clips(
    config: ConfigDict, split: str = "test"
) -> Iterator[tuple[str, Iterator[np.ndarray]]]:
    """Whole clips for evaluation, one after the other, a frame in memory at a time.

    Args:
      config: as for `open_dataset`.
      split: 'test' or 'train'.

    Yields:
      The name of a clip and its frames, [H, W, 3] uint8 at the configuration's `image_size`.

    Raises:
      InputError: no clips can be found, or one cannot be read.
    """
    size = _image_size(config)
    for clip in _find_or_draw(config, split):
        yield clip.name, (fit(frame, size) for frame in clip.frames())


def _find_or_draw(config: ConfigDict, split: str) -> list[Clip]:
    params = config.dataset_params
    if "puppets" in params and params.root_dir:
        draw_data_set(Path(params.root_dir), **params.puppets)
    return find_clips(params, split, _image_size(config))


def _image_size(config: ConfigDict) -> tuple[int, int]:
    height, width = config.image_size
    return height, width
