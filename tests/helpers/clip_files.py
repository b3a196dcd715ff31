"""Tiny clips on disk whose frames show which clip and which frame they are."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from configs.base import get_base_config
from data.fitting import fit
from data.loader import open_clips
from tpsm_jax.media.video_writer import FrameWriter

SIZE = 16


def frame(clip: int, index: int, size: int = SIZE) -> np.ndarray:
    """A frame of one color: red gives the clip, green the number of the frame."""
    return np.full((size, size, 3), (20 * clip + 10, 20 * index + 10, 50), np.uint8)


def label(picture: np.ndarray) -> tuple[int, int]:
    """(clip, number) of a frame, also after a lossy encoder."""
    red, green, _ = picture.reshape(-1, 3).mean(axis=0)
    return round((red - 10) / 20), round((green - 10) / 20)


def write_folder(path: Path, clip: int, count: int, size: int = SIZE) -> None:
    path.mkdir(parents=True)
    for index in range(count):
        Image.fromarray(frame(clip, index, size)).save(path / f"{index:04d}.png")


def write_video(path: Path, clip: int, count: int, size: int = 32) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with FrameWriter(path, fps=10) as writer:
        for index in range(count):
            writer.write(frame(clip, index, size))


def write_strip(path: Path, clip: int, count: int, size: int = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = [frame(clip, index, size) for index in range(count)]
    Image.fromarray(np.concatenate(frames, axis=1)).save(path)


def write_data_set(root: Path, counts: tuple[int, ...] = (3, 5, 1, 4, 2)) -> None:
    """Folders of frames, clip0 upwards, with the given numbers of frames; the last two to test."""
    for clip, count in enumerate(counts):
        split = "test" if clip >= len(counts) - 2 else "train"
        write_folder(root / split / f"clip{clip}", clip, count)


def small_config(root: Path) -> ConfigDict:
    config = get_base_config()
    config.image_size = (SIZE, SIZE)
    config.dataset.path = str(root)
    config.dataset_params.id_sampling = False
    config.train_params.dataloader_workers = 2
    return config


def read_clips(
    config: ConfigDict, split: str = "test"
) -> Iterator[tuple[str, Iterator[np.ndarray]]]:
    """The name of each clip and its frames at the size that the configuration takes."""
    for clip in open_clips(config, split):
        yield clip.name, (fit(frame, tuple(config.image_size)) for frame in clip.frames())
