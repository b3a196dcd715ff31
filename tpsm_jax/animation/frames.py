"""Streams of frames: read ahead in a thread, computed in batches of one shape, a few in memory."""

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from tpsm_jax.errors import InputError
from tpsm_jax.media.images import to_float

BATCHES_AHEAD = 2
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Batch(NamedTuple):
    """Consecutive frames of a clip.

    Attributes:
      frames: [batch_size, H, W, 3], uint8 or float32 in [0, 1]; or as many poses.
      used: how many of them belong to the clip. The last batch is filled up with copies of its
        last frame, so that nothing is compiled for it.
    """

    frames: Any
    used: int


def frames_at_once(batch_size: int | None, devices: int) -> int:
    """The number of frames that are computed together.

    Args:
      batch_size: the number asked for; if None, one a device on CPUs and 16 a device elsewhere.
      devices: the number of devices of this host.

    Raises:
      InputError: the batch does not divide among the devices.
    """
    batch_size = batch_size or devices * (1 if jax.default_backend() == "cpu" else 16)
    if batch_size % devices:
        raise InputError(
            f"batch_size {batch_size} does not divide among the {devices} devices here"
        )
    return batch_size


def in_batches(
    frames: Iterable[Any], batch_size: int, compute: Callable[[Any], _Result]
) -> Generator[tuple[Batch, _Result]]:
    """Computes something of each batch of a clip, without waiting for the devices.

    A thread reads ahead, by a few batches at most. A result is yielded only when the devices
    have the next batch already, so whoever fetches it does not keep them idle.

    Args:
      frames: frames or poses, see `stacked`.
      batch_size: frames of a batch.
      compute: called in order with each batch's `frames`; starts a computation and returns arrays
        that are still being computed.

    Yields:
      Each batch and what `compute` returned for it.
    """
    previous: list[tuple[Batch, _Result]] = []
    with contextlib.closing(read_ahead(stacked(frames, batch_size), BATCHES_AHEAD)) as batches:
        for batch in batches:
            result = compute(batch.frames)
            yield from previous
            previous = [(batch, result)]
    yield from previous


def stacked(frames: Iterable[Any], batch_size: int) -> Iterator[Batch]:
    """Batches of frames, all of one size.

    Args:
      frames: [H, W, 3] each, uint8 or float32 in [0, 1]; or poses without a batch.
      batch_size: frames of a batch.

    Yields:
      Batches, float32 where one of their frames is.
    """
    remaining = iter(frames)
    while batch := list(itertools.islice(remaining, batch_size)):
        count = len(batch)
        batch += [batch[-1]] * (batch_size - count)
        yield Batch(jax.tree.map(_stack, *batch), count)


def _stack(*frames: np.ndarray) -> np.ndarray:
    if any(frame.dtype != frames[0].dtype for frame in frames):
        return np.stack([to_float(frame) for frame in frames])
    return np.stack(frames)


def read_ahead(items: Iterable[_Item], ahead: int) -> Generator[_Item]:
    """Passes items on while a thread already reads further ones.

    Args:
      items: the thread iterates over them; they are closed at the end if they are a generator.
      ahead: items kept ready at most, besides one that is being read.

    Yields:
      The items. What they raise is raised here. Closing the iterator ends the thread.
    """
    end: Any = object()
    iterator = iter(items)
    thread = ThreadPoolExecutor(1, "read_ahead")
    try:
        reading = deque(thread.submit(next, iterator, end) for _ in range(ahead + 1))
        while (item := reading.popleft().result()) is not end:
            reading.append(thread.submit(next, iterator, end))
            yield item
    finally:
        thread.shutdown(cancel_futures=True)
        if isinstance(iterator, Generator):
            iterator.close()
