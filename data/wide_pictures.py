"""Wide pictures: the frames of a clip next to each other; and what only looks like one."""

import dataclasses
from contextlib import suppress
from pathlib import Path

import numpy as np

from tpsm_jax.errors import InputError
from tpsm_jax.media.images import read_header
from tpsm_jax.media.jpeg_stream import is_jpeg_stream
from tpsm_jax.media.video_reader import open_video


@dataclasses.dataclass(frozen=True)
class WidePictures:
    """How wide pictures are cut into frames.

    Attributes:
      frame_size: (height, width) of a frame.
      height_is_known: whether the picture must have that height. If not, only the proportions of
        `frame_size` count.
    """

    frame_size: tuple[int, int]
    height_is_known: bool

    def frame_size_in(self, rows: int) -> tuple[int, int]:
        """(height, width) of a frame in a picture of so many rows."""
        height, width = self.frame_size
        if self.height_is_known:
            return height, width
        return rows, max(1, round(rows * width / height))

    def is_single(self, path: Path) -> bool:
        """Whether a picture that can be read holds one frame, or is not made of whole ones."""
        try:
            height, width, is_animated = read_header(path)
        except InputError:
            return False
        if is_animated or width >= 2 * self.frame_size_in(height)[1]:
            return False
        return not is_jpeg_stream(path)  # last, as it may read the whole file

    def split(self, picture: np.ndarray, path: Path) -> list[np.ndarray]:
        """Cuts a picture into its frames.

        Args:
          picture: [H, W, 3] uint8.
          path: where it is from, for the error.

        Returns:
          The frames from left to right, [height, width, 3] uint8 each, views of the picture.

        Raises:
          InputError: the picture is not made of such frames.
        """
        rows, columns = picture.shape[:2]
        height, width = self.frame_size_in(rows)
        if rows != height or columns % width:
            raise InputError(
                f"the clip {path}, {columns} x {rows} pixels, is not made of frames of "
                f"{width} x {height}: it is dataset_params.frame_shape of the configuration that "
                "gives their (height, width, 3)"
            )
        return np.split(picture, columns // width, axis=1)


def is_moving(path: Path) -> bool:
    """Whether a file that is named like a picture is an animated one, or a video.

    Raises:
      InputError: it is neither a picture nor a video.
    """
    try:
        return read_header(path).is_animated or is_jpeg_stream(path)
    except InputError:
        with suppress(InputError):
            open_video(path)
            return True
        raise
