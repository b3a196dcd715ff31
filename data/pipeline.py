"""A tf.data pipeline that reads samples with several threads and hands out NumPy batches.

This is the one file that imports TensorFlow. Its graphs only carry numbers and arrays from thread
to thread: what a sample is, Python decides.
"""

import functools
import os
import weakref
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Self

import numpy as np

from tpsm_jax.errors import InputError
from tpsm_jax.runtime.cores import available_cores

BATCHES_AHEAD = 2
_END = 2**62  # of the numbers of samples; nobody gets there


@functools.cache
def import_tensorflow() -> ModuleType:
    """TensorFlow, quiet, and kept off the accelerators, which are JAX's.

    Raises:
      InputError: it is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors are still told
    # None of its arithmetic is used, and with this on it announces itself on stderr.
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

    Threads work ahead of the one who asks, until `close`, the end of the program, or until the
    iterator is let go.
    """

    def __init__(
        self,
        read: Callable[[int], tuple[np.ndarray, np.ndarray]],
        name: Callable[[int], str],
        number: Callable[[int], int],
        *,
        image_size: tuple[int, int],
        batch_size: int,
        start: int,
        workers: int,
    ):
        """Starts the threads.

        Args:
          read: the source and driving frames [H, W, 3] uint8 of sample number i; called from any
            thread, in any order.
          name: the clip's name of sample number i.
          number: which sample is the n-th of this process.
          image_size: (H, W).
          batch_size: of this process.
          start: the batch to begin with; samples of those before it are not read.
          workers: threads that read; 0 for one a core that this process may use.

        Raises:
          InputError: TensorFlow is not installed.
        """
        tf = import_tensorflow()
        workers = workers or available_cores()
        self._name, self._number, self._batch_size, self._next = name, number, batch_size, start
        reader = _Reader(read, number, (*image_size, 3))
        self._errors = reader.errors

        def read_sample(n: Any) -> Any:
            pair = tf.numpy_function(reader, [n], (tf.uint8, tf.uint8))
            return [tf.ensure_shape(frame, reader.shape) for frame in pair]

        samples = tf.data.Dataset.range(start * batch_size, _END)
        samples = samples.map(
            tf.autograph.experimental.do_not_convert(read_sample),
            num_parallel_calls=workers,
            deterministic=True,
        )
        batches = samples.batch(batch_size, drop_remainder=True).prefetch(BATCHES_AHEAD)
        options = tf.data.Options()
        # So many, however many cores there are: those that wait for a disk would keep all of them.
        options.threading.private_threadpool_size = workers
        # There is nothing to tune, and the thread that does can miss that all is to end: it sees it
        # when it wakes by itself, after up to a minute.
        options.autotune.enabled = False
        # TensorFlow hangs for ever if Python ends while its threads wait to call back into Python.
        # So nothing but this list holds the iterator, and the list is emptied in time.
        self._iterator = [batches.with_options(options).as_numpy_iterator()]
        self._end = weakref.finalize(self, self._iterator.clear)

    def __next__(self) -> dict[str, Any]:
        """The next batch.

        Returns:
          source and driving, [b, H, W, 3] uint8, and name, b names.

        Raises:
          InputError: a clip cannot be read.
        """
        if not self._iterator:
            raise StopIteration
        source, driving = next(self._iterator[0])
        first = self._next * self._batch_size
        numbers = [self._number(n) for n in range(first, first + self._batch_size)]
        for number in numbers:
            if number in self._errors:
                self.close()
                raise self._errors[number]
        self._next += 1
        return {
            "source": source,
            "driving": driving,
            "name": [self._name(number) for number in numbers],
        }

    def close(self) -> None:
        """Ends the threads, waiting for the samples they are at, and with them the iteration."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _Reader:
    """What the threads call. It keeps errors for the one who asks for the batch.

    Raised in a thread they would come out as one of TensorFlow's, its text a whole traceback.
    """

    def __init__(
        self,
        read: Callable[[int], tuple[np.ndarray, np.ndarray]],
        number: Callable[[int], int],
        shape: tuple[int, int, int],
    ):
        self._read, self._number, self.shape = read, number, shape
        self.errors: dict[int, Exception] = {}

    def __call__(self, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        number = self._number(int(n))
        try:
            return self._read(number)
        except Exception as error:  # whatever it is, it is raised again
            self.errors[number] = error
            return np.zeros(self.shape, np.uint8), np.zeros(self.shape, np.uint8)
