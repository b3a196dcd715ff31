"""What a training sample holds, and how it is read from a clip.

This is the one place in data/ that names the arrays of a sample. A further one, such as a mask, is
declared in `spec` and read in `__call__`; everything after that passes it through. Only uint8 is
changed: such an array is a picture, and becomes float32 in [0, 1] in the training step. Labels take
another type.
"""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from data.clip import Clip
from data.fitting import fit, warn_if_squeezed
from data.landmarks import read_landmarks
from data.resize_crop import ResizeCrop
from data.sampling import SampleDraws
from tpsm_jax.media.proportions import SqueezeWarning

Sample = dict[str, np.ndarray]


class ArraySpec(NamedTuple):
    """The shape and dtype of an array, the same for every sample."""

    shape: tuple[int, ...]
    dtype: np.dtype


@dataclasses.dataclass(frozen=True)
class SampleReader:
    """Reads a pair of frames of a clip.

    Attributes:
      image_size: (H, W) of the frames.
      resize_crop: MGif's random resize and crop, or None.
      landmarks: number of landmarks to read for each frame, see `data.landmarks`; 0 for none.
      squeeze_warning: warns of frames of other proportions.
    """

    image_size: tuple[int, int]
    resize_crop: ResizeCrop | None = None
    landmarks: int = 0
    squeeze_warning: SqueezeWarning = dataclasses.field(
        default_factory=SqueezeWarning, compare=False, repr=False
    )

    @property
    def spec(self) -> Mapping[str, ArraySpec]:
        """The name, shape and dtype of each array of a sample."""
        frame = ArraySpec((*self.image_size, 3), np.dtype(np.uint8))
        spec = {"source": frame, "driving": frame}
        if self.landmarks:
            points = ArraySpec((self.landmarks, 2), np.dtype(np.float32))
            spec |= {"source_landmarks": points, "driving_landmarks": points}
        return spec

    def __call__(self, clip: Clip, draws: SampleDraws) -> Sample:
        """Reads a sample. It is called from any thread.

        Args:
          clip: where the sample is from.
          draws: the sample's random numbers.

        Returns:
          The arrays that `spec` declares: source, the earlier frame, and driving, the later one,
          [H, W, 3] uint8 each; their landmarks [N, 2], where they are asked for.

        Raises:
          InputError: the clip or its landmarks cannot be read.
        """
        pair = clip.pair(*draws.frames)
        warn_if_squeezed(clip, pair[0], self.image_size, self.squeeze_warning)
        earlier, later = (fit(frame, self.image_size) for frame in pair)
        if self.resize_crop is not None:
            earlier, later = self.resize_crop(np.stack([earlier, later]), draws)
        sample = {"source": earlier, "driving": later}
        if self.landmarks:
            points = read_landmarks(clip, self.landmarks, *draws.frames)
            sample |= {"source_landmarks": points[0], "driving_landmarks": points[1]}
        return sample
