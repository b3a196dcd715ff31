"""One clip at a time through a model, in batches of one shape over this host's devices."""

import contextlib
import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from tpsm_jax.animation.frames import frames_at_once, in_batches
from tpsm_jax.animation.keypoints import pose_at, relative_motion
from tpsm_jax.animation.programs import animate, encode_source, find_keypoints, reconstruct
from tpsm_jax.evaluation.joints import TrueFrame, joint_numbers
from tpsm_jax.evaluation.measures import BatchNumbers, ClipNumbers, measure
from tpsm_jax.models.interface import AnimationModel, Pose
from tpsm_jax.models.registry import check_image_size
from tpsm_jax.ops.pixels import to_float, to_uint8
from tpsm_jax.parallel.sharding import batch_sharding, make_mesh, replicated
from tpsm_jax.runtime.program_memory import FirstCalls

RECONSTRUCTION = "reconstruction"  # in addition to the animation modes, see `Reconstructor`

# Called with driving frames, results and what these should be, [n, H, W, 3] uint8 each, in the
# order of the clip. Without a truth the last are the driving frames.
Sink = Callable[[np.ndarray, np.ndarray, np.ndarray], None]


class ClipResult(NamedTuple):
    """The numbers of a clip.

    Attributes:
      frames: the number of frames.
      metrics: name -> mean over the frames, see `measures.MEASURES`.
      static: the same for the baseline that repeats the source; empty if there is no truth.
    """

    frames: int
    metrics: dict[str, float]
    static: dict[str, float]


class Reconstructor:
    """Drives a source by a clip, and measures the result.

    >>> reconstructor = Reconstructor(tpsm_jax.load("checkpoints/vox"))
    >>> reconstructor.run(open_video("clip.mp4")).metrics["l1"]
    """

    def __init__(
        self,
        checkpoint: tuple[Any, AnimationModel, Any],
        *,
        mode: str = RECONSTRUCTION,
        batch_size: int | None = None,
        vgg19: Any = None,
        l1_only: bool = False,
        devices: list[jax.Device] | None = None,
    ):
        """Sends the weights to the devices.

        Args:
          checkpoint: (config, model, variables), as `tpsm_jax.load` returns them.
          mode: 'reconstruction' drives a clip by itself, the background predictor on, and
            compares with the truth. 'relative' and 'standard' animate another source, as
            `Animator` does, the background still.
          batch_size: frames computed together, a multiple of the devices of this host; see
            `frames_at_once`.
          vgg19: variables of `VGG19`, for the perceptual distance, or None.
          l1_only: leave out all numbers but L1; quicker.
          devices: the devices to compute on; all of this host if None.

        Raises:
          InputError: the batch does not divide among the devices.
        """
        config, self._model, variables = checkpoint
        height, width = config.image_size
        self.size = (int(height), int(width))
        check_image_size(config.model_params, *self.size)
        mesh = make_mesh(devices or jax.local_devices())
        self.batch_size = frames_at_once(batch_size, mesh.size)
        self._mode = mode
        self._first = mesh.devices.flat[0]
        self._batch_sharding, self._replicated = batch_sharding(mesh), replicated(mesh)
        self._variables = jax.device_put(variables, self._replicated)
        self._first_calls = FirstCalls()
        self._encode = functools.partial(_encode, self._model, self._variables)
        self._drive = functools.partial(
            _drive, self._model, self._variables, mesh=mesh, mode=mode, find=not l1_only
        )
        self._measure = functools.partial(
            measure,
            None if vgg19 is None else jax.device_put(vgg19, self._first),
            l1_only=l1_only,
        )

    def run(
        self,
        frames: Iterable[np.ndarray],
        *,
        source: np.ndarray | None = None,
        truth: Iterable[TrueFrame] | None = None,
        sink: Sink | None = None,
    ) -> ClipResult:
        """Runs one clip, with a few batches of it in memory.

        A thread reads ahead; the devices have the next batch when `sink` gets one.

        Args:
          frames: [H, W, 3] uint8 of the size of the checkpoint's pictures.
          source: [H, W, 3] uint8; the clip's first frame if None.
          truth: what each result should be, where `source` is another's and that is known.
          sink: gets driving frames, results and truth, rounded to 8 bits.

        Returns:
          The numbers.

        Raises:
          InputError: reading `frames` raised it, or memory does not suffice; or see
            `relative_scale`.
        """
        result, static = ClipNumbers(), ClipNumbers()
        encoded = still = before = None
        motion: tuple[Any, ...] = ()
        true_frames: deque[TrueFrame] = deque()
        if truth is not None:
            frames = _with_truth(frames, truth, true_frames)
        with_truth = truth is not None or self._mode == RECONSTRUCTION

        def compute(batch: np.ndarray) -> tuple[jax.Array, BatchNumbers]:
            nonlocal encoded, still, before, motion
            batch, targets = batch[..., :3], batch[..., -3:]
            if encoded is None:
                picture = batch[:1] if source is None else source[None]
                placed = jax.device_put(picture, self._replicated)
                encoded = self._run(self._encode, placed)
                points = self._model.points(encoded["kp_source"])
                still = jax.device_put({"source": encoded["source"], "points": points}, self._first)
                before = targets[:1], still["source"]
                if self._mode == "relative":
                    first = jax.device_put(batch[:1], self._replicated)
                    pose = _find_keypoints(self._model, self._variables, first)
                    of_source = pose_at(0, encoded["kp_source"])
                    motion = relative_motion(self._model, of_source, pose_at(0, pose))
            placed = jax.device_put(batch, self._batch_sharding)
            outputs = self._run(self._drive, encoded, placed, motion)
            images = outputs.pop("images")
            placed, outputs = jax.device_put((targets, outputs), self._first)
            measure = functools.partial(self._measure, with_truth=with_truth)
            numbers, last = self._run(measure, still, placed, before, outputs)
            # Only the last batch of a clip is not full, and nothing comes after it.
            before = targets[-1:], last
            return images, numbers

        with contextlib.closing(in_batches(frames, self.batch_size, compute)) as batches:
            for batch, (images, numbers) in batches:
                found = jax.device_get(numbers)
                results = np.asarray(images)[: batch.used]
                if truth is not None and source is not None:
                    wanted = [true_frames.popleft() for _ in results]
                    repeated = np.broadcast_to(source, results.shape)
                    found["result"] |= joint_numbers(results, wanted)
                    found["static"] |= joint_numbers(repeated, wanted)
                result.add(found["result"], batch.used)
                static.add(found["static"], batch.used)
                if sink is not None:
                    driving = batch.frames[: batch.used]
                    sink(driving[..., :3], results, driving[..., -3:])
        of_static = static.means() if with_truth else {}
        return ClipResult(result.frames, result.means(), of_static)

    def sheet(self, source: np.ndarray, driving: np.ndarray) -> dict[str, Any]:
        """Computes all outputs of the model for a few frames.

        Args:
          source: [H, W, 3] uint8.
          driving: [T, H, W, 3] uint8.

        Returns:
          What the model's `__call__` returns, as NumPy arrays, without what only losses need.
        """
        encoded = self._run(self._encode, source[None])
        picture = functools.partial(reconstruct, self._model, self._variables)
        return jax.device_get(self._run(picture, encoded, driving))

    def _run(self, program: functools.partial[Any], *arguments: Any) -> Any:
        """Calls a jitted function, at the first call only if it fits into memory."""
        lower = program.func.lower  # type: ignore[attr-defined]
        lower = functools.partial(lower, *program.args, *arguments, **program.keywords)
        self._first_calls.check(program.func, lower)
        return program(*arguments)


def _with_truth(
    frames: Iterable[np.ndarray], truth: Iterable[TrueFrame], true_frames: deque[TrueFrame]
) -> Iterator[np.ndarray]:
    """Adds the true pictures to the frames as further channels, and all else to a queue."""
    for frame, true in zip(frames, truth, strict=True):
        true_frames.append(true)
        yield np.concatenate([frame, true.picture], axis=-1)


@functools.partial(jax.jit, static_argnums=0)
def _encode(model: Any, variables: Any, source: jax.Array) -> dict[str, Any]:
    return encode_source(model, variables, to_float(source))


@functools.partial(jax.jit, static_argnums=0)
def _find_keypoints(model: Any, variables: Any, frames: jax.Array) -> Pose:
    return find_keypoints(model, variables, to_float(frames))


@functools.partial(jax.jit, static_argnums=0, static_argnames=("mesh", "mode", "find"))
def _drive(
    model: Any,
    variables: Any,
    encoded: dict[str, Any],
    frames: jax.Array,
    motion: tuple[Any, ...],
    *,
    mesh: Mesh,
    mode: str,
    find: bool,
) -> dict[str, jax.Array]:
    """Results of uint8 frames; every device computes its share of them by itself.

    prediction [B, H, W, 3]; images, the same in uint8; wanted [B, N, 2], the points of the poses
    that were asked for; and if `find`, found [B, N, 2], those that the results have.
    """

    def drive(variables: Any, encoded: Any, frames: Any, motion: Any) -> dict[str, jax.Array]:
        driving = to_float(frames)
        if mode == RECONSTRUCTION:
            outputs = model.apply(variables, encoded, driving, method="reconstruct")
        else:
            pose = model.apply(variables, driving, method="keypoints")
            outputs = animate(model, variables, encoded, pose, motion, mode=mode)
        prediction = outputs["prediction"].astype(jnp.float32)
        results = {
            "prediction": prediction,
            "images": to_uint8(prediction),
            "wanted": model.points(outputs["kp_driving"]),
        }
        if find:
            results["found"] = model.points(model.apply(variables, prediction, method="keypoints"))
        return results

    # Not left to the compiler: no frame needs another, and one device's share compiles sooner.
    return jax.shard_map(
        drive,
        mesh=mesh,
        in_specs=(P(), P(), P("data"), P()),
        out_specs=P("data"),
        check_vma=False,
    )(variables, encoded, frames, motion)
