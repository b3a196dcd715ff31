"""A source picture moved by a driving clip: frames in, frames out, never the whole clip."""

import itertools
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from tpsm_jax.animation.keypoints import pose_distance, relative_scale
from tpsm_jax.animation.programs import (
    Mode,
    animation_variables,
    convert_kernels,
    encode_source,
    find_keypoints,
    kernel_types,
    render,
)
from tpsm_jax.errors import InputError
from tpsm_jax.media.images import resize
from tpsm_jax.models.registry import check_image_size
from tpsm_jax.models.tpsm import MotionModel
from tpsm_jax.runtime.kept_programs import KeptPrograms

BATCHES_AHEAD = 2
_Item = TypeVar("_Item")


class BestFrame(NamedTuple):
    """The driving frame most like the source: its number from 0, and its keypoints [N, 2]."""

    number: int
    keypoints: np.ndarray


class Animator:
    """Animates one source picture; encodes it once.

    >>> animator = Animator(tpsm_jax.load("checkpoints/vox"), read_image("source.png"))
    >>> frames = list(animator.animate(open_video("driving.mp4")))
    """

    def __init__(
        self,
        checkpoint: tuple[Any, MotionModel, Any],
        source: np.ndarray,
        *,
        mode: Mode = "relative",
        size: tuple[int, int] | None = None,
        batch_size: int | None = None,
        output_dtype: type[np.uint8] | type[np.float32] = np.uint8,
        keep_programs: bool = False,
    ):
        """Encodes the source.

        Args:
          checkpoint: (config, model, variables), as `tpsm_jax.load` returns them.
          source: [H, W, 3], uint8 or floats in [0, 1], of any size: it is resized.
          mode: 'relative' moves the source by the driving motion since its initial frame,
            'standard' gives it the driving keypoints as they are, 'avd' re-expresses those in
            the source's identity with the network of that name.
          size: (height, width) to compute in; `config.image_size` if None.
          batch_size: frames computed together; 1 on a CPU and 16 elsewhere if None.
          output_dtype: uint8, rounded to nearest, or float32 in [0, 1].
          keep_programs: trace nothing that another process traced before, where JAX has a folder
            to keep compiled programs in, see `KeptPrograms`; not for models with modules of your
            own.

        Raises:
          InputError: the mode is unknown or lacks its weights, or the networks cannot take `size`.
        """
        config, model, variables = checkpoint
        self.size = size or (config.image_size[0], config.image_size[1])
        check_image_size(config.model_params, *self.size)
        self.batch_size = batch_size or (1 if jax.default_backend() == "cpu" else 16)
        self.mode = mode
        self._model = model
        self._output_dtype = output_dtype
        self._call = KeptPrograms(model) if keep_programs else self._call_directly
        self._variables = jax.device_put(animation_variables(variables, [mode]))
        if set(kernel_types(model, self._variables).values()) != {jnp.dtype(jnp.float32)}:
            self._variables = self._call(convert_kernels, self._variables)
        source = resize(source, *self.size)[None]
        self._encoded = self._call(encode_source, self._variables, source)

    @property
    def kp_source(self) -> np.ndarray:
        """[N, 2], (x, y) in [-1, 1]: the source's keypoints."""
        return np.asarray(self._encoded["kp_source"][0])

    def animate(
        self, frames: Iterable[np.ndarray], *, kp_driving_initial: np.ndarray | None = None
    ) -> Iterator[np.ndarray]:
        """Turns driving frames into frames of the source.

        A thread reads and resizes ahead, by a few batches at most, while the device computes;
        the device already has the next batch when a batch is handed out. So memory does not grow
        with the clip.

        Args:
          frames: [H, W, 3] each, uint8 or floats in [0, 1], of any sizes.
          kp_driving_initial: [N, 2], for mode 'relative': the pose to take for the source's. The
            first frame's if None; `find_best_frame` finds a better one.

        Yields:
          [height, width, 3] of `output_dtype` for every frame, in order.

        Raises:
          InputError: see `relative_scale`.
        """
        pending: tuple[jax.Array, int] | None = None
        motion: tuple[Any, Any] | None = None
        for batch, count in self._batches(frames):
            keypoints = self._keypoints(batch)
            if motion is None:
                motion = self._motion(keypoints, kp_driving_initial)
            images = self._call(
                render,
                self._variables,
                self._encoded,
                keypoints,
                motion,
                mode=self.mode,
                dtype=self._output_dtype,
            )
            if pending is not None:
                yield from _fetched(*pending)
            pending = (images, count)
        if pending is not None:
            yield from _fetched(*pending)

    def find_best_frame(self, frames: Iterable[np.ndarray]) -> BestFrame:
        """Finds the driving frame most like the source, by the model's own keypoints.

        The reference animates from that frame forwards, then backwards, each time with it as the
        initial one. No frame depends on its neighbours, so one pass in the clip's own order with
        its keypoints as `kp_driving_initial` gives the same pictures.

        Args:
          frames: as for `animate`. They are gone through once, so they must be something that
            can be gone through again to animate: a list, or what `open_video` returns.

        Returns:
          The frame's number and keypoints.

        Raises:
          InputError: `frames` is an iterator that can be read only once, or holds nothing.
        """
        if iter(frames) is frames:
            raise InputError(
                "finding the best frame reads the clip twice: "
                "give a list or open_video(...), not an iterator"
            )
        best, least = None, float("inf")
        kp_source, number = self.kp_source, 0
        for batch, count in self._batches(frames):
            found = np.asarray(self._keypoints(batch))
            for keypoints in found[:count]:
                distance = pose_distance(kp_source, keypoints)
                if best is None or distance < least:
                    best, least = BestFrame(number, keypoints), distance
                number += 1
        if best is None:
            raise InputError("there is no driving frame to choose the best of")
        return best

    def _keypoints(self, batch: np.ndarray) -> jax.Array:
        return self._call(find_keypoints, self._variables, batch)

    def _call_directly(self, function: Callable[..., Any], *arguments: Any, **static: Any) -> Any:
        return function(self._model, *arguments, **static)

    def _motion(self, keypoints: jax.Array, initial: np.ndarray | None) -> tuple[Any, Any]:
        """The initial driving keypoints [N, 2] and the scale of relative motion (unused if not)."""
        if initial is None:
            initial = np.asarray(keypoints)[0]
        initial = np.asarray(initial, np.float32)
        scale = relative_scale(self.kp_source, initial) if self.mode == "relative" else 1.0
        return jnp.asarray(initial), jnp.float32(scale)

    def _batches(self, frames: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, int]]:
        def fits(frame: np.ndarray) -> bool:  # it moves to the device as it is: a quarter the bytes
            return frame.dtype == np.uint8 and frame.shape == (*self.size, 3)

        # Copied, for a reader may use its buffer again before the batch is full.
        resized = (frame.copy() if fits(frame) else resize(frame, *self.size) for frame in frames)
        return read_ahead(stacked(resized, self.batch_size), BATCHES_AHEAD)


def stacked(frames: Iterable[np.ndarray], batch_size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Batches of frames, all of one size.

    Args:
      frames: [H, W, 3] each, uint8 or float32 in [0, 1].
      batch_size: frames of a batch.

    Yields:
      [batch_size, H, W, 3], float32 if one of its frames is; and how many frames of it count: the
      last batch is filled up with its last frame, so that nothing is compiled for it.
    """
    remaining = iter(frames)
    while batch := list(itertools.islice(remaining, batch_size)):
        count = len(batch)
        batch += [batch[-1]] * (batch_size - count)
        if any(frame.dtype != batch[0].dtype for frame in batch):
            batch = [resize(frame, *frame.shape[:2]) for frame in batch]
        yield np.stack(batch), count


def _fetched(images: jax.Array, count: int) -> Iterator[np.ndarray]:
    yield from np.asarray(images)[:count]


def read_ahead(items: Iterable[_Item], ahead: int) -> Iterator[_Item]:
    """Passes items on while a thread already reads further ones.

    Args:
      items: gone through, and closed if it is a generator, in the thread.
      ahead: items kept ready at most; one more may be waiting in the thread.

    Yields:
      The items; what they raise is raised here. Closing the iterator ends the thread.
    """
    ready: queue.Queue[tuple[_Item | None, BaseException | None]] = queue.Queue(ahead)
    stopped = threading.Event()

    def put(item: _Item | None, error: BaseException | None) -> None:
        while not stopped.is_set():
            try:
                ready.put((item, error), timeout=0.1)
                break
            except queue.Full:
                pass

    def read() -> None:
        iterator = None
        try:
            iterator = iter(items)
            for item in iterator:
                put(item, None)
                if stopped.is_set():
                    return
            put(None, StopIteration())
        except BaseException as error:  # noqa: BLE001  # whatever it is, it belongs to the reader
            put(None, error)
        finally:
            if isinstance(iterator, Generator):
                iterator.close()

    thread = threading.Thread(target=read, name="read_ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]  # None only beside an error
    finally:
        stopped.set()
        thread.join()
