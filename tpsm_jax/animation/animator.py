"""A source picture moved by a driving clip: a stream of frames in, a stream of frames out."""

import copy
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from tpsm_jax.animation.frames import frames_at_once, in_batches
from tpsm_jax.animation.inputs import (
    as_picture,
    check_frames,
    check_motion_scale,
    check_numbers,
    check_points,
    check_render_size,
    pose_without_batch,
)
from tpsm_jax.animation.keypoints import (
    BestFrame,
    best_of,
    points_of_one,
    pose_at,
    relative_motion,
)
from tpsm_jax.animation.programs import (
    LARGE_SOURCE,
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
        render_size: tuple[int, int] | None = None,
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
          render_size: (height, width) of the frames, if larger than `size`: they are enlarged, and
            get the source's own detail where it is visible.
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
        self._render_size = check_render_size(render_size, self.size, model)
        if self._render_size is not None:
            check_pictures_fit(self.batch_size, *self._render_size, change="render_size")
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
        if self._render_size is not None:
            self._encoded[LARGE_SOURCE] = resize(source, *self._render_size)[None]

    @property
    def kp_source(self) -> Pose:
        """The source's pose, without a batch: for TPSM keypoints [N, 2], (x, y) in [-1, 1]."""
        return pose_at(0, self._encoded["kp_source"])

    def animate(
        self,
        frames: Iterable[np.ndarray],
        *,
        kp_driving_initial: Pose | None = None,
        motion_scale: float = 1.0,
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
          motion_scale: for mode 'relative', factor of the motion, from 0.

        Returns:
          An iterator of [height, width, 3] of `output_dtype` for every frame, in order.

        Raises:
          InputError: an argument or a frame has another type, shape or range, or memory does not
            suffice; also see `relative_scale`.
        """
        check_frames(frames)
        draw = self._renderer(kp_driving_initial, motion_scale)
        return self._animate(self._resized(frames), lambda batch: draw(self._find_keypoints(batch)))

    def animate_poses(
        self,
        poses: Iterable[Pose],
        *,
        kp_driving_initial: Pose | None = None,
        motion_scale: float = 1.0,
    ) -> Iterator[np.ndarray]:
        """Turns driving poses into frames of the source.

        Args:
          poses: poses without a batch, such as `find_poses` finds or a `motion.Motion` holds.
          kp_driving_initial: the driving pose that stands for the source's; the first if None.
          motion_scale: for mode 'relative', factor of the motion, from 0.

        Returns:
          As `animate`.

        Raises:
          InputError: see `animate`.
        """
        given = (pose_without_batch(pose, self.kp_source, "a pose") for pose in poses)
        return self._animate(given, self._renderer(kp_driving_initial, motion_scale))

    def _renderer(self, initial: Pose | None, scale: float) -> Callable[[Pose], jax.Array]:
        """What turns batches of poses, the clip's first one first, into pictures."""
        check_motion_scale(scale, self.mode)
        if initial is not None:
            initial = pose_without_batch(initial, self.kp_source)
            check_points(points_of_one(self._model, initial))
        motion: tuple[Any, ...] = ()

        def draw(pose: Pose) -> jax.Array:
            nonlocal motion
            if self.mode == "relative" and not motion:
                first = pose_at(0, pose) if initial is None else initial
                motion = relative_motion(self._model, self.kp_source, first, scale)
            return self._call(
                render,
                self._variables,
                self._encoded,
                pose,
                motion,
                mode=self.mode,
                dtype=self._output_dtype,
            )

        return draw

    def _animate(
        self, items: Iterable[Any], compute: Callable[[Any], jax.Array]
    ) -> Iterator[np.ndarray]:
        for batch, images in in_batches(items, self.batch_size, compute):
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
        """Finds keypoints.

        Args:
          pictures: [H, W, 3] each, uint8 or floats in [0, 1], of any sizes.

        Returns:
          For each picture [N, 2], (x, y) in [-1, 1].

        Raises:
          InputError: see `find_poses`.
        """
        return [points_of_one(self._model, pose) for pose in self.find_poses(pictures)]

    def find_best_frame(self, frames: Iterable[np.ndarray]) -> BestFrame:
        """Finds the driving frame most like the source, by the model's own keypoints.

        The reference animates from that frame forwards, then backwards. No frame depends on its
        neighbors, so one pass with its pose as `kp_driving_initial` gives the same pictures.

        Args:
          frames: driving frames, as `animate` takes them, that can be read twice, here and to
            animate: a list, or what `open_video` returns.

        Returns:
          The frame's number and pose.

        Raises:
          InputError: see `animate`; also if `frames` can be read only once, or holds nothing.
        """
        if iter(check_frames(frames)) is frames:
            raise InputError(
                "finding the best frame reads the clip twice: "
                "give a list or open_video(...), not an iterator"
            )
        return self.best_pose(self.find_poses(frames))

    def best_pose(self, poses: Iterable[Pose]) -> BestFrame:
        """Does what `find_best_frame` does, with poses that were found before.

        Args:
          poses: driving poses without a batch.

        Returns:
          The number and the pose of the one most like the source's; `InputError` if none is there.
        """
        return best_of(self._model, self.kp_source, poses)

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
