"""A tf.data pipeline that reads samples with several threads and yields NumPy batches.

This is the one file that imports TensorFlow. Its graphs only carry numbers and arrays between
threads; Python code decides what a sample is.
"""

import functools
import os
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, Self

import numpy as np

from data.sample_reader import ArraySpec, Sample
from tpsm_jax.errors import InputError
from tpsm_jax.runtime.cores import available_cores

BATCHES_AHEAD = 2
_END = 2**62  # more samples than any run reads


@functools.cache
def import_tensorflow() -> ModuleType:
    """Imports TensorFlow, quiet, and hides the accelerators from it, which are JAX's.

    Raises:
      InputError: it is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors are still printed
    # No oneDNN arithmetic is used, and TensorFlow announces it on stderr if it is on.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    try:
        import tensorflow as tf
    except ImportError as error:
        raise InputError(
            f"reading clips takes TensorFlow ({error}): pip install -e '.[data]'"
        ) from None
    for kind in ("GPU", "TPU"):
        tf.config.set_visible_devices([], kind)
    return tf


class Batches(Iterator[dict[str, Any]]):
    """An endless iterator of batches, in the same order whatever the threads do.

    Threads read ahead until `close`, the end of the program, or the deletion of the iterator.
    """

    def __init__(
        self,
        read: Callable[[int], Sample],
        name: Callable[[int], str],
        number: Callable[[int], int],
        *,
        spec: Mapping[str, ArraySpec],
        batch_size: int,
        start: int,
        workers: int,
        count_skipped: Callable[[Sequence[int]], int] | None = None,
    ):
        """Starts the threads.

        Args:
          read: the arrays of sample number i, as `spec` declares them. Any thread calls it, in any
            order.
          name: the clip's name of sample number i.
          number: the number of the n-th sample of this process.
          spec: the name, shape and dtype of each array of a sample.
          batch_size: samples in a batch of this process, b.
          start: the first batch to yield. Samples of the batches before it are not read.
          workers: threads that read; 0 for one per core that this process may use.
          count_skipped: how many of the samples of a batch, given by their numbers, were read from
            other clips than theirs; called for every batch in order, before `name`. It may raise
            an InputError.

        Raises:
          InputError: TensorFlow is not installed.
        """
        tf = import_tensorflow()
        workers = workers or available_cores()
        self._count_skipped = count_skipped
        self._name, self._number, self._batch_size, self._next = name, number, batch_size, start
        reader = _Reader(read, number, spec)
        self._errors = reader.errors

        def read_sample(n: Any) -> Any:
            arrays = tf.numpy_function(reader, [n], [array.dtype for array in spec.values()])
            return {
                key: tf.ensure_shape(array, spec[key].shape)
                for key, array in zip(spec, arrays, strict=True)
            }

        samples = tf.data.Dataset.range(start * batch_size, _END)
        samples = samples.map(
            tf.autograph.experimental.do_not_convert(read_sample),
            num_parallel_calls=workers,
            deterministic=True,
        )
        batches = samples.batch(batch_size, drop_remainder=True).prefetch(BATCHES_AHEAD)
        options = tf.data.Options()
        # tf.data would use one thread per core. Threads that wait for a disk would block them all.
        options.threading.private_threadpool_size = workers
        # There is nothing to tune, and the tuning thread can miss the end of the iterator: it then
        # sleeps for up to a minute before the program can exit.
        options.autotune.enabled = False
        # TensorFlow hangs forever if Python exits while its threads wait to call back into Python.
        # So only this list holds the iterator, and the finalizer empties it in time.
        self._iterator = [batches.with_options(options).as_numpy_iterator()]
        self._end = weakref.finalize(self, self._iterator.clear)

    def __next__(self) -> dict[str, Any]:
        """The next batch.

        Returns:
          Each array of `spec` with a leading axis of b samples, and name, a list of b names; and
          skipped, what `count_skipped` returned, where it is given.

        Raises:
          InputError: a clip cannot be read.
        """
        if not self._iterator:
            raise StopIteration
        arrays = next(self._iterator[0])
        first = self._next * self._batch_size
        numbers = [self._number(n) for n in range(first, first + self._batch_size)]
        for number in numbers:
            if number in self._errors:
                self.close()
                raise self._errors[number]
        skipped = {}
        if self._count_skipped is not None:
            try:
                skipped = {"skipped": self._count_skipped(numbers)}
            except InputError:
                self.close()
                raise
        self._next += 1
        return {**arrays, "name": [self._name(number) for number in numbers], **skipped}

    def close(self) -> None:
        """Ends the iteration and its threads, once they have finished their current samples."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _Reader:
    """Reads samples in the threads and keeps the errors for the thread that asks for the batch.

    An error raised in a thread would reach Python as one of TensorFlow's, with a traceback as text.
    """

    def __init__(
        self,
        read: Callable[[int], Sample],
        number: Callable[[int], int],
        spec: Mapping[str, ArraySpec],
    ):
        self._read, self._number, self._spec = read, number, dict(spec)
        self.errors: dict[int, Exception] = {}

    def __call__(self, n: np.ndarray) -> list[np.ndarray]:
        number = self._number(int(n))
        try:
            sample = self._read(number)
            found = {key: ArraySpec(array.shape, array.dtype) for key, array in sample.items()}
            if found != self._spec:
                raise ValueError(f"sample {number} holds {found}, and {self._spec} is declared")
            return [sample[key] for key in self._spec]
        except Exception as error:  # `__next__` raises it again
            self.errors[number] = error
            return [np.zeros(array.shape, array.dtype) for array in self._spec.values()]
