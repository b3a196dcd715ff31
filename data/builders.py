"""Builders of TensorFlow Datasets, which read clips from a local folder.

`python -m data.prepare` makes the same examples in parallel, resumes, and writes the index that
training reads. The builders are for users of TensorFlow Datasets. They differ only in the size at
which their data set is published, and in their names.

from data.builders import ClipsConfig, VoxCeleb
builder = VoxCeleb(config=ClipsConfig(input="DIR"), data_dir="OUT")
builder.download_and_prepare()  # nothing is downloaded
"""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.clip import Clip
from data.prepare.encoding import (
    DEFAULT_QUALITY,
    BrokenClip,
    Encoding,
    encode_clips,
    squeezed_line,
)
from data.prepare.features import VERSION, clip_example, clip_features, import_tfds
from data.prepare.sources import KINDS, draw_puppet_clips, find_folder_clips
from tpsm_jax.errors import InputError

import_tfds()  # the first import, which silences it
import tensorflow_datasets as tfds  # noqa: E402


@dataclasses.dataclass
class ClipsConfig(tfds.core.BuilderConfig):
    """The clips to read, and the encoding of their frames.

    Attributes:
      input: folder of clips as described in `data.folder`, or of raw videos if there are boxes.
      boxes: a table of boxes (`data.prepare.boxes`), or None.
      size: side that frames are resized to; None for the data set's own.
      format: 'jpeg' or 'png'.
      quality: JPEG quality, 1 to 100.
      clips: number of puppet clips for training.
      frames: frames per puppet clip.
    """

    name: str = "default"
    input: str = ""
    boxes: str | None = None
    size: int | None = None
    format: str = "jpeg"
    quality: int = DEFAULT_QUALITY
    clips: int = 100
    frames: int = 50


class ClipsBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """The base of the builders: an example is a clip with encoded frames.

    A broken clip ends the build with an `InputError`; `python -m data.prepare` can skip it.
    """

    VERSION = tfds.core.Version(VERSION)

    def _info(self) -> Any:
        config = self._config()
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"Clips of {KINDS[self.name].title}.",
            features=clip_features(config.format),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
        del dl_manager  # nothing is downloaded
        config, size = self._config(), self._size()
        if KINDS[self.name].is_drawn:
            assert size is not None
            found = draw_puppet_clips(config.clips, config.frames, size)
        else:
            boxes = Path(config.boxes) if config.boxes else None
            found = find_folder_clips(Path(config.input), boxes, None, size)
        return {split: self._generate_examples(clips) for split, clips in found.items()}

    def _generate_examples(self, clips: list[Clip]) -> Iterator[tuple[str, dict[str, Any]]]:
        config, size = self._config(), self._size()
        encoding = Encoding(config.format, config.quality, (size, size) if size else None)
        squeezed = 0
        for made in encode_clips(clips, encoding):
            if isinstance(made, BrokenClip):
                raise InputError(f"the clip {made.clip.name} is broken: {made.reason}")
            squeezed += made.is_squeezed
            yield made.clip.name, clip_example(made)
        if squeezed:
            print(f"warning: {squeezed_line(squeezed, len(clips), encoding)}", file=sys.stderr)

    def _config(self) -> ClipsConfig:
        return self.builder_config or ClipsConfig()

    def _size(self) -> int | None:
        return self._config().size or KINDS[self.name].size


class VoxCeleb(ClipsBuilder):
    """VoxCeleb: talking faces."""

    name = "vox"


class TaiChiHD(ClipsBuilder):
    """TaiChiHD: whole bodies."""

    name = "taichi"


class TEDTalks(ClipsBuilder):
    """TED-talks: upper bodies of speakers."""

    name = "ted"


class MGif(ClipsBuilder):
    """MGif: walking cartoon animals."""

    name = "mgif"


class Clips(ClipsBuilder):
    """Any folder of clips, each at its own size unless one is given."""

    name = "clips"


class Puppets(ClipsBuilder):
    """Puppets, drawn when they are read."""

    name = "puppets"
