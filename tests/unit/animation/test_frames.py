"""Frames in batches: how they are stacked, read ahead, and computed one batch before the other."""

import threading

import numpy as np
import pytest

from tpsm_jax.animation.frames import in_batches, read_ahead, stacked


def test_8_bit_frames_that_fit_are_moved_as_they_are():
    frames = [np.full((4, 4, 3), value, np.uint8) for value in (0, 51, 255)]
    batches = list(stacked([*frames, frames[0] / np.float32(255)], 3))
    assert [(batch.dtype, count) for batch, count in batches] == [(np.uint8, 3), (np.float32, 1)]
    ((batch, count),) = stacked([frames[1], frames[2] / np.float32(255)], 3)
    assert count == 2
    assert batch.dtype == np.float32
    np.testing.assert_array_equal(batch[:, 0, 0, 0], np.float32([0.2, 1, 1]))


def test_read_ahead_closes_what_it_read_and_passes_errors_on():
    closed = threading.Event()

    def numbers():
        try:
            yield from range(5)
            raise ValueError("broken frame")
        finally:
            closed.set()

    passed = read_ahead(numbers(), 1)
    assert [next(passed) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="broken frame"):
        next(passed)
    assert closed.is_set()

    closed.clear()
    passed = read_ahead(numbers(), 1)
    assert next(passed) == 0
    passed.close()
    assert closed.is_set()
    assert list(read_ahead([], 3)) == []
    with pytest.raises(TypeError):
        list(read_ahead(5, 1))


def test_a_result_is_handed_out_when_the_next_batch_is_being_computed():
    computed, closed = [], threading.Event()

    def clip():
        try:
            for value in range(5):
                yield np.full((2, 2, 3), value, np.uint8)
        finally:
            closed.set()

    def compute(batch):
        computed.append(int(batch[0, 0, 0, 0]))
        return computed[-1]

    batches = in_batches(clip(), 2, compute)
    (batch, result) = next(batches)
    assert (batch.used, result, computed) == (2, 0, [0, 2])
    assert [(batch.used, result) for batch, result in batches] == [(2, 2), (1, 4)]
    assert computed == [0, 2, 4]

    closed.clear()
    batches = in_batches(clip(), 1, compute)
    next(batches)
    batches.close()
    assert closed.is_set()
    assert list(in_batches([], 3, compute)) == []
