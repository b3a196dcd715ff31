"""The settings of a prepared data set, which are written first and compared by later runs."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from data.clip import Clip
from data.prepare.disk import write_atomically
from data.prepare.encoding import Encoding
from data.prepare.layout import FORMAT_VERSION, INFO, SETTINGS, UNFINISHED
from tpsm_jax.errors import InputError
from tpsm_jax.runtime import run_lock
from tpsm_jax.runtime.json_files import parse_json

_LOCK = "lock"  # a file in the folder of unfinished work, held by the run in progress


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that the bytes of a prepared data set depend on, except those of the clips.

    Attributes:
      dataset: the data set's name, one of `KINDS`.
      encoding: encoding of the frames.
      splits: the number of clips of each split, including broken ones.
      names: a digest of the names of all clips, and of their boxes if they have any.
      frame_shape: (height, width) of frames in wide pictures, if given.
    """

    dataset: str
    encoding: Encoding
    splits: dict[str, int]
    names: str
    frame_shape: tuple[int, int] | None

    @classmethod
    def of(
        cls,
        dataset: str,
        encoding: Encoding,
        clips: dict[str, list[Clip]],
        frame_shape: tuple[int, int] | None = None,
    ) -> Self:
        """The settings for the clips of each split."""
        digest = hashlib.sha256()
        for split, members in clips.items():
            for clip in members:
                line = f"{split}\n{clip.name}\n{getattr(clip, 'recipe', '')}\n"
                digest.update(line.encode(errors="surrogateescape"))
        splits = {split: len(members) for split, members in clips.items()}
        return cls(dataset, encoding, splits, digest.hexdigest(), frame_shape)

    def as_json(self) -> dict[str, Any]:
        """The settings as prepared.json has them."""
        is_jpeg = self.encoding.format == "jpeg"
        return {
            "format_version": FORMAT_VERSION,
            "dataset": self.dataset,
            "format": self.encoding.format,
            "quality": self.encoding.quality if is_jpeg else None,
            "size": self.encoding.size and list(self.encoding.size),
            "frame_shape": self.frame_shape and list(self.frame_shape),
            "splits": self.splits,
            "names": self.names,
        }


def begin(root: Path, settings: Settings) -> bool:
    """Begins a prepared data set, or checks that the existing one has the same settings.

    Args:
      root: folder of the prepared data set, made if it does not exist.
      settings: settings of this run.

    Returns:
      Whether it is finished already.

    Raises:
      InputError: the folder has other contents, or a data set of other settings.
      OSError: nothing can be written there.
    """
    work = root / UNFINISHED
    if not (root / SETTINGS).is_file():
        if root.is_dir() and set(os.listdir(root)) - {UNFINISHED}:
            raise InputError(f"{root} holds other things: give --output an empty or a new folder")
        work.mkdir(parents=True, exist_ok=True)
        write_atomically(
            root / SETTINGS, (json.dumps(settings.as_json(), indent=1) + "\n").encode()
        )
        return False
    try:
        begun = parse_json((root / SETTINGS).read_text())
        differing = [key for key, value in settings.as_json().items() if begun.get(key) != value]
    except (ValueError, AttributeError):
        raise InputError(
            f"{root / SETTINGS} is damaged: delete {root}, or choose another"
        ) from None
    if differing:
        key = differing[0]
        difference = (
            "other clips than the input has now"
            if key in ("names", "splits")
            else f"{key} {begun.get(key)}, not {settings.as_json()[key]}"
        )
        raise InputError(f"{root} was begun with {difference}: delete it, or give another --output")
    if (root / INFO).is_file():
        return True
    work.mkdir(exist_ok=True)
    return False


@contextmanager
def only_run(root: Path) -> Iterator[None]:
    """Locks a prepared data set against other runs, and deletes what a killed run left there.

    Args:
      root: folder of a data set that was begun.

    Raises:
      InputError: another run has the lock.
    """
    work = root / UNFINISHED
    with run_lock.only_run(work / _LOCK, f"preparing {root}"):
        for entry in work.iterdir():
            if entry.is_file() and entry.name != _LOCK and entry.suffix != ".json":
                entry.unlink()
        yield
