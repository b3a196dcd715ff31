"""The training batches of a data set, and the whole clips that evaluation reads."""

import dataclasses
import functools
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from data.clip import Clip
from data.landmarks import no_landmarks_prepared, wanted_landmarks
from data.mixing import MixedOrder, whole_weights
from data.notes import check_motion
from data.pipeline import Batches
from data.resize_crop import ResizeCrop
from data.roots import PREPARED, RootKind, RootOptions, root_kind
from data.sample_reader import Sample, SampleReader
from data.sampling import SampleOrder
from data.skipping import BrokenClips
from tpsm_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Part:
    """A data set, alone or one of several that are mixed.

    Attributes:
      path: where its clips are.
      kind: the title of the kind of place that `path` is, see `data.roots`.
      entries: the entries of a pass. Each lists the clips to choose from: one clip, or all clips
        of an identity.
      by_identity: whether an entry is an identity.
      notes: lines about clips and files that are not as they should be, see `data.notes`.
    """

    path: Path
    kind: str
    entries: list[list[Clip]]
    by_identity: bool
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        count = sum(len(clips) for clips in self.entries)
        identities = f", {len(self.entries)} identities" if self.by_identity else ""
        return f"{self.path}: {self.kind}, {count} clips{identities}"


@dataclasses.dataclass(frozen=True)
class ClipDataset:
    """Clips to draw samples from.

    Attributes:
      parts: the data sets.
      weights: the share of each data set in a mixture, whole numbers; unused for a single one.
      reader: reads a sample of a clip, and declares the arrays of a sample.
    """

    parts: list[Part]
    weights: tuple[int, ...]
    reader: SampleReader

    @functools.cached_property
    def entries(self) -> list[list[Clip]]:
        """The entries of all parts, one part after the other."""
        return [clips for part in self.parts for clips in part.entries]

    def describe(self) -> str:
        """A line for each data set: its kind, its size, and its share in a mixture."""
        lines = [str(part) for part in self.parts]
        if len(lines) > 1:
            shares = [weight / sum(self.weights) for weight in self.weights]
            lines = [
                f"{line}, {share:.1%} of the samples"
                for line, share in zip(lines, shares, strict=True)
            ]
        return "\n".join(lines)

    def notes(self) -> list[str]:
        """Lines that warn of clips and files that are not as they should be."""
        return [note for part in self.parts for note in part.notes]

    def fingerprint(self) -> int:
        """A number below 2**31 that changes with the names of the clips and with their order."""
        names = [[clip.name for clip in clips] for clips in self.entries]
        return zlib.crc32(repr(names).encode(errors="surrogateescape")) >> 1

    def order(self, *, batch_size: int, num_repeats: int, seed: int) -> SampleOrder:
        """The order of the samples. Takes the same arguments as `batches`.

        Raises:
          InputError: the batch is larger than an epoch.
        """
        count = len(self.entries)
        if len(self.parts) == 1:
            return SampleOrder(seed, count, num_repeats, batch_size)
        sizes = tuple(len(part.entries) for part in self.parts)
        return MixedOrder(seed, count, num_repeats, batch_size, sizes, self.weights)

    def steps_per_epoch(self, *, batch_size: int, num_repeats: int) -> int:
        """Number of whole batches in an epoch.

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
        skip_broken: int = 0,
    ) -> Batches:
        """Endless batches, the same for the same arguments; none before `start_step` is read.

        Args:
          batch_size: samples in a batch of all processes together. Sample i = step * batch_size +
            row is the same for any number of processes. Process p of P gets the p-th of P equal
            parts.
          num_repeats: passes over the entries that count as one epoch.
          seed: seed of the run.
          start_step: the first batch to yield.
          process_index: p.
          process_count: P.
          workers: threads that read; 0 for one per core that this process may use.
          skip_broken: number of clips that cannot be read and that others of their data set
            replace. Which do is the same for the same arguments and the same broken clips.

        Returns:
          An iterator of dicts: each array of a sample (see `SampleReader`) with a leading axis of
          b, and "name", a list of b names. With `skip_broken` also "skipped", the number of
          samples that another clip replaces. It ends on `close`, after `with`, or with the program.
          Instead of a batch whose clip cannot be read it raises an `InputError`.

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

        broken = BrokenClips(skip_broken)
        return Batches(
            lambda sample: self._read(order, sample, broken),
            lambda sample: broken.take_name(sample) or self._clip(order, sample).name,
            number,
            count_skipped=broken.count_replaced if skip_broken else None,
            spec=self.reader.spec,
            batch_size=share,
            start=start_step,
            workers=workers,
        )

    def _clip(self, order: SampleOrder, sample: int) -> Clip:
        clips = self.entries[order.entry(sample)]
        return clips[int(order.draws(sample).clip * len(clips))]

    def _read(self, order: SampleOrder, sample: int, broken: BrokenClips) -> Sample:
        draws = order.draws(sample)
        return broken.read(
            sample, self._candidates(order, sample), lambda clip: self.reader(clip, draws)
        )

    def _candidates(self, order: SampleOrder, sample: int) -> Iterator[Clip]:
        """The clip of a sample, then all others of its data set, shuffled for this sample."""
        clip = self._clip(order, sample)
        yield clip
        (part,) = (part for part in self.parts if any(clip in clips for clips in part.entries))
        others = [other for clips in part.entries for other in clips if other is not clip]
        for index in order.shuffle(sample, len(others)):
            yield others[index]


def open_dataset(config: ConfigDict, split: str = "train") -> ClipDataset:
    """Opens the data set that a config names.

    Args:
      config: `image_size`, `dataset` and `dataset_params` are read. If
        `dataset_params.puppets.clips` is set, puppets are drawn first if `dataset.path` does not
        exist. On a disk that several hosts share, draw them beforehand (python -m data.puppets).
      split: 'train', or 'test', whose entries are always clips, those of `dataset.path` alone.

    Returns:
      The data set. With `dataset_params.id_sampling` its entries are identities.

    Raises:
      InputError: no clips can be found or drawn there, all clips for training are single
        frames, other puppets were drawn there, the weights are unusable, or `augmentation_params`
        asks for something unknown.
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
    landmarks = wanted_landmarks(config) if split == "train" else 0
    parts = []
    for path in paths:
        kind, clips = _open_path(config, path, split)
        if landmarks and kind is PREPARED:
            raise no_landmarks_prepared(path)
        if split == "train":
            check_motion(path, clips)
        notes = tuple(kind.notes(path, split, clips))
        entries = group_by_identity(clips) if by_identity else [[clip] for clip in clips]
        parts.append(Part(path, kind.title, entries, by_identity, notes))
    return ClipDataset(parts, weights, SampleReader(image_size, resize_crop, landmarks))


def open_clips(config: ConfigDict, split: str = "test") -> list[Clip]:
    """The clips of a data set, not read yet, including those that cannot be read.

    Args:
      config: the same fields are read as by `open_dataset`.
      split: 'test' or 'train'.

    Returns:
      At least one clip, sorted by name.

    Raises:
      InputError: no clips can be found.
    """
    return _open_path(config, Path(config.dataset.path), split, for_evaluation=True)[1]


def clip_notes(config: ConfigDict, clips: Sequence[Clip]) -> list[str]:
    """Lines that warn of test clips and files among them that are not as they should be.

    Args:
      config: the same fields are read as by `open_dataset`.
      clips: what `open_clips` returned.
    """
    path = Path(config.dataset.path)
    return _kind_of(config, path, for_evaluation=True)[0].notes(path, "test", clips)


def group_by_identity(clips: list[Clip]) -> list[list[Clip]]:
    """Groups clips by identity, comparing whole names, sorted by identity.

    (The reference takes every file whose name begins with the identity: id1 gets id10's too.)
    """
    groups: dict[str, list[Clip]] = {}
    for clip in clips:
        groups.setdefault(clip.identity, []).append(clip)
    return [groups[identity] for identity in sorted(groups)]


def _open_path(
    config: ConfigDict, path: Path, split: str, *, for_evaluation: bool = False
) -> tuple[RootKind, list[Clip]]:
    kind, options = _kind_of(config, path, for_evaluation=for_evaluation)
    return kind, kind.find(path, split, options)


def _kind_of(
    config: ConfigDict, path: Path, *, for_evaluation: bool
) -> tuple[RootKind, RootOptions]:
    if not config.dataset.path:
        raise InputError(
            "there is no data set: set --config.dataset.path to a prepared one or to a folder of "
            "clips"
        )
    params = config.dataset_params
    puppets = params.get("puppets")
    # Puppets are never drawn into a data set that is mixed in.
    draws = puppets and puppets.clips is not None and path == Path(config.dataset.path)
    options = RootOptions(
        _image_size(config),
        frame_shape=params.get("frame_shape"),
        puppets=puppets if draws else None,
        for_evaluation=for_evaluation,
        skip_broken=not for_evaluation and config.get("skip_broken", 0) > 0,
    )
    return root_kind(path, options), options


def _image_size(config: ConfigDict) -> tuple[int, int]:
    return config.image_size[0], config.image_size[1]
