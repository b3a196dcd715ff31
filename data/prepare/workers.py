"""Writes shards with several processes and a progress bar, and skips finished ones."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from data.prepare.encoding import Encoding
from data.prepare.shards import Shard, read_part, write_shard
from tpsm_jax.errors import InputError

_counter: Any = None  # in a worker process: the clips done by all workers, shared memory


def drop_shards_with_broken_clips(shards: list[Shard]) -> None:
    """Marks shards that lack clips, which may have been repaired, or are damaged as unfinished."""
    for shard in shards:
        if shard.part.exists() and ((part := read_part(shard)) is None or part["broken"]):
            shard.part.unlink()


def write_shards(shards: list[Shard], encoding: Encoding, workers: int) -> None:
    """Writes all missing shards.

    Args:
      shards: the shards of all splits.
      encoding: encoding of the frames.
      workers: number of processes; with 1, none is started.

    Raises:
      InputError: a shard cannot be written, or a process died. Finished shards are kept.
    """
    waiting = [shard for shard in shards if not shard.part.exists()]
    total = sum(len(shard.clips) for shard in shards)
    done = total - sum(len(shard.clips) for shard in waiting)
    with tqdm(total=total, initial=done, desc="preparing", unit="clip", smoothing=0.05) as bar:
        if workers == 1 or len(waiting) == 1:
            for shard in waiting:
                write_shard(shard, encoding, bar.update)
        elif waiting:
            _write_in_processes(waiting, encoding, min(workers, len(waiting)), bar)


def _write_in_processes(shards: list[Shard], encoding: Encoding, workers: int, bar: Any) -> None:
    # Fork is unsafe here: TensorFlow and FFmpeg's libraries have threads.
    context = multiprocessing.get_context("spawn")
    counter = context.Value("L", 0)
    with _pool(workers, context, counter) as pool:
        waiting = {pool.submit(_write, shard, encoding) for shard in shards}
        try:
            while waiting:
                finished, waiting = wait(waiting, 0.5, FIRST_COMPLETED)
                bar.update(bar.initial + counter.value - bar.n)
                for future in finished:
                    future.result()
        except BrokenProcessPool:
            raise InputError(
                "a worker process died, perhaps for want of memory: run the same command again, "
                "it resumes there; fewer --workers take less memory"
            ) from None


@contextmanager
def _pool(workers: int, context: Any, counter: Any) -> Iterator[ProcessPoolExecutor]:
    pool = ProcessPoolExecutor(workers, context, _start_worker, (counter,))
    try:
        yield pool
    except (KeyboardInterrupt, SystemExit):
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        # After a failure the shards in progress are still finished, and kept.
        pool.shutdown(cancel_futures=True)


def _start_worker(counter: Any) -> None:
    global _counter
    _counter = counter
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and ends this process
    parent = multiprocessing.parent_process()
    assert parent is not None
    # A parent that is killed cannot stop its workers.
    threading.Thread(target=_end_with, args=(parent.join,), daemon=True).start()


def _end_with(parent_ends: Callable[[], None]) -> None:
    parent_ends()
    os._exit(1)


def _write(shard: Shard, encoding: Encoding) -> None:
    write_shard(shard, encoding, _count)


def _count() -> None:
    with _counter.get_lock():
        _counter.value += 1
