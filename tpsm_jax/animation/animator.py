"""A source picture moved by a driving clip: a stream of frames in, a stream of frames out."""

import copy
import functools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np

from tpsm_jax.animation.frames import frames_at_once, in_batches
from tpsm_jax.animation.inputs import (
    as_picture,
    check_frames,
    check_numbers,
    check_points,
    pose_without_batch,
)
from tpsm_jax.animation.keypoints import points_of_one, pose_at, pose_distance, relative_motion
from tpsm_jax.animation.programs import (
    animation_variables,
    convert_kernels,
    encode_source,
    find_keypoints,
    kernel_types,
    render,
)
from tpsm_jax.backends.backend import backend
from tpsm_jax.errors import InputError
from tpsm_jax.media.images import resize
from tpsm_jax.models.interface import AnimationModel, Pose
from tpsm_jax.models.registry import check_image_size, family_of, picture_size
from tpsm_jax.runtime.kept_programs import KeptPrograms
from tpsm_jax.runtime.memory import check_pictures_fit
from tpsm_jax.runtime.program_memory import FirstCalls


class BestFrame(NamedTuple):
    """The driving frame most like the source: its number from 0, and its pose without a batch."""

    number: int
    keypoints: Pose


class Animator:
    """Animates one source picture; encodes it once.

    >>> animator = Animator(tpsm_jax.load("checkpoints/vox"), read_image("source.png"))
    >>> frames = list(animator.animate(open_video("driving.mp4")))
    """

    def __init__(
        self,
        checkpoint: tuple[Any, AnimationModel, Any],
        source: np.ndarray,
        *,
        mode: str = "relative",
        size: tuple[int, int] | None = None,
        batch_size: int | None = None,
        output_dtype: type[np.uint8] | type[np.float32] = np.uint8,
        keep_programs: bool = False,
    ):
        """Encodes the source.

        Args:
          checkpoint: (config, model, variables), what `tpsm_jax.load` returns.
          source: [H, W, 3], uint8 or floats in [0, 1], of any size: it is resized.
          mode: 'relative' moves the source by the driving motion since its initial frame,
            'standard' gives it the driving pose as it is, 'avd' gives it the driving pose in the
            source's identity.
          size: (height, width) to compute in; `config.image_size` if None.
          batch_size: frames computed together; 1 on a CPU and 16 elsewhere if None.
          output_dtype: uint8, rounded to nearest, or float32 in [0, 1].
          keep_programs: reuse programs that another process traced, if JAX has a folder for
            compiled programs, see `KeptPrograms`; not for models with modules of your own.

        Raises:
          InputError: the mode is unknown or lacks its weights, the networks cannot take `size`, an
            argument has another type, shape or range, or memory does not suffice.
        """
        config, model, variables = checkpoint
        self.size = picture_size(config) if size is None else size
        check_numbers(self.size, batch_size, output_dtype)
        self.size = int(self.size[0]), int(self.size[1])
        source = as_picture(source, "the source")
        check_image_size(config.model_params, *self.size)
        self.batch_size = frames_at_once(batch_size, devices=1)
        check_pictures_fit(self.batch_size, *self.size, change="size or batch_size")
        self.mode = mode
        self._model = model
        self._first_calls = FirstCalls()
        self._output_dtype = output_dtype
        self._call = (
            KeptPrograms(model, traced_for=backend) if keep_programs else self._call_directly
        )
        family = family_of(config.model_params)
        self._variables = jax.device_put(animation_variables(model, family, variables, [mode]))
        if set(kernel_types(model, self._variables).values()) != {jnp.dtype(jnp.float32)}:
            self._variables = self._call(convert_kernels, self._variables)
        self._encode(source)

    def of(self, source: np.ndarray) -> Self:
        """Animates another source by the same weights and compiled programs.

        Args:
          source: as for `Animator`.

        Raises:
          InputError: it has another type, shape or range.
        """
        other = copy.copy(self)
        other._encode(as_picture(source, "the source"))
        return other

    def _encode(self, source: np.ndarray) -> None:
        resized = resize(source, *self.size)[None]
        self._encoded = self._call(encode_source, self._variables, resized)

    @property
    def kp_source(self) -> Pose:
        """The source's pose, without a batch: for TPSM keypoints [N, 2], (x, y) in [-1, 1]."""
        return pose_at(0, self._encoded["kp_source"])

    def animate(
        self, frames: Iterable[np.ndarray], *, kp_driving_initial: Pose | None = None
    ) -> Iterator[np.ndarray]:
        """Turns driving frames into frames of the source.

        A thread reads and resizes ahead, by a few batches at most, while the device computes;
        the device already has the next batch when a batch is yielded. So memory does not grow
        with the clip.

        Args:
          frames: [H, W, 3] each, uint8 or floats in [0, 1], of any sizes.
          kp_driving_initial: for mode 'relative', the driving pose that stands for the source's,
            without a batch or in a batch of one. The first frame's if None; `find_best_frame`
            finds a better one.

        Returns:
          An iterator of [height, width, 3] of `output_dtype` for every frame, in order.

        Raises:
          InputError: an argument or a frame has another type, shape or range, or memory does not
            suffice; also see `relative_scale`.
        """
        check_frames(frames)
        if kp_driving_initial is not None:
            kp_driving_initial = pose_without_batch(kp_driving_initial, self.kp_source)
            check_points(points_of_one(self._model, kp_driving_initial))
        return self._animate(frames, kp_driving_initial)

    def _animate(self, frames: Iterable[np.ndarray], given: Pose | None) -> Iterator[np.ndarray]:
        motion: tuple[Any, ...] = ()

        def compute(batch: np.ndarray) -> jax.Array:
            nonlocal motion
            pose = self._find_keypoints(batch)
            if self.mode == "relative" and not motion:
                initial = pose_at(0, pose) if given is None else given
                motion = relative_motion(self._model, self.kp_source, initial)
            return self._call(
                render,
                self._variables,
                self._encoded,
                pose,
                motion,
                mode=self.mode,
                dtype=self._output_dtype,
            )

        for batch, images in in_batches(self._resized(frames), self.batch_size, compute):
            yield from np.asarray(images)[: batch.used]

    def find_poses(self, frames: Iterable[np.ndarray]) -> Iterator[Pose]:
        """Finds the pose in each frame.

        Args:
          frames: as `animate` takes them.

        Returns:
          An iterator of poses without a batch, as NumPy arrays.

        Raises:
          InputError: a frame has another type, shape or range, or memory does not suffice.
        """
        frames = self._resized(check_frames(frames))
        for batch, pose in in_batches(frames, self.batch_size, self._find_keypoints):
            yield from (pose_at(index, pose) for index in range(batch.used))

    def find_points(self, pictures: Iterable[np.ndarray]) -> list[np.ndarray]:
        """The keypoints in pictures of any sizes: [N, 2] each, (x, y) in [-1, 1]."""
        return [points_of_one(self._model, pose) for pose in self.find_poses(pictures)]

    def find_best_frame(self, frames: Iterable[np.ndarray]) -> BestFrame:
        """Finds the driving frame most like the source, by the model's own keypoints.

        The reference animates from that frame forwards, then backwards, each time with it as the
        initial one. No frame depends on its neighbors, so one pass in the clip's own order with
        its pose as `kp_driving_initial` gives the same pictures.

        Args:
          frames: driving frames, as `animate` takes them. They are read once here, and once more
            to animate, so they must be something that can be read twice: a list, or what
            `open_video` returns.

        Returns:
          The frame's number and pose.

        Raises:
          InputError: `frames` is an iterator that can be read only once, or holds nothing; or a
            frame has another type, shape or range.
        """
        if iter(check_frames(frames)) is frames:
            raise InputError(
                "finding the best frame reads the clip twice: "
                "give a list or open_video(...), not an iterator"
            )
        best, least = None, float("inf")
        source, number = points_of_one(self._model, self.kp_source), 0
        poses = in_batches(self._resized(frames), self.batch_size, self._find_keypoints)
        for batch, pose in poses:
            for index, points in enumerate(np.asarray(self._model.points(pose))[: batch.used]):
                distance = pose_distance(source, points)
                if best is None or distance < least:
                    best, least = BestFrame(number, pose_at(index, pose)), distance
                number += 1
        if best is None:
            raise InputError("there is no driving frame to choose the best of")
        return best

    def _find_keypoints(self, batch: np.ndarray) -> Pose:
        return self._call(find_keypoints, self._variables, batch)

    def _call_directly(self, function: Any, *arguments: Any, **static: Any) -> Any:
        lower = functools.partial(function.lower, self._model, *arguments, **static)
        self._first_calls.check(function, lower)
        return function(self._model, *arguments, **static)

    def _resized(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        def fits(frame: np.ndarray) -> bool:  # it moves to the device as it is: a quarter the bytes
            return frame.dtype == np.uint8 and frame.shape == (*self.size, 3)

        for number, given in enumerate(frames):
            frame = as_picture(given, f"driving frame {number}")
            # Copied, because a reader may reuse its buffer before the batch is full.
            yield frame.copy() if fits(frame) else resize(frame, *self.size)
