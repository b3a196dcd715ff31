"""One clip through a model: its numbers, its frames, and how much of it is in memory."""

import numpy as np
import pytest

from tests.helpers.compilations import compilations
from tests.helpers.halfway import Halfway
from tests.helpers.small import model_params
from tests.helpers.tiny_training import SIZE, tiny_config
from tpsm_jax.animation.frames import BATCHES_AHEAD
from tpsm_jax.errors import InputError
from tpsm_jax.evaluation.clip_frames import BrokenClipError, FrameSizeError, checked_frames
from tpsm_jax.evaluation.measures import mean_over_frames
from tpsm_jax.evaluation.reconstruction import Reconstructor
from tpsm_jax.models.registry import build_model

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("optimized")]

BATCH = 8  # as many as there are devices


@pytest.fixture(scope="module")
def checkpoint():
    return tiny_config(), Halfway(), {}


def gray(*values):
    return [np.full((SIZE, SIZE, 3), value, np.uint8) for value in values]


@pytest.mark.parametrize("count", [1, 3, BATCH, BATCH + 1, 2 * BATCH + 5])
def test_numbers_of_a_clip(checkpoint, count):
    values = np.array([0, *np.random.default_rng(0).integers(0, 255, count - 1)], float)
    seen = []
    result = Reconstructor(checkpoint, batch_size=BATCH).run(
        gray(*values), sink=lambda *batch: seen.extend(zip(*batch, strict=True))
    )
    truth = values / 255
    assert result.frames == count
    assert result.metrics["l1"] == pytest.approx(truth.mean() / 2, abs=5e-6)
    assert result.static["l1"] == pytest.approx(truth.mean(), abs=5e-6)
    assert result.metrics["keypoints"] == pytest.approx(truth.mean() / 2, abs=5e-6)
    assert result.static["keypoints"] == pytest.approx(truth.mean(), abs=5e-6)
    if count == 1:
        assert not {"flicker", "psnr"} & result.metrics.keys()
    else:
        for found, error in ((result.metrics, truth / 2), (result.static, truth)):
            decibels = -10 * np.log10(np.maximum(error[1:] ** 2, 1e-10))
            assert found["psnr"] == pytest.approx(decibels.mean(), abs=1e-4)
        change = np.abs(np.diff(truth)).mean()
        assert result.metrics["flicker"] == pytest.approx(change / 2, abs=5e-6)
        assert result.metrics["change_ratio"] == pytest.approx(0.5, abs=5e-6)
    assert [driving[0, 0, 0] for driving, _, _ in seen] == list(values)
    assert all(np.array_equal(driving, truth) for driving, _, truth in seen)
    np.testing.assert_array_equal(
        [result[0, 0, 0] for _, result, _ in seen],
        np.rint(np.float32(values / 255) / 2 * 255),
    )


def test_l1_alone(checkpoint):
    result = Reconstructor(checkpoint, batch_size=BATCH, l1_only=True).run(gray(0, 100, 200))
    assert result.metrics == {"l1": pytest.approx(50 / 255)}
    assert result.static == {"l1": pytest.approx(100 / 255)}


def test_standard_animation_of_another_source(checkpoint):
    source = np.zeros((SIZE, SIZE, 3), np.uint8)
    reconstructor = Reconstructor(checkpoint, batch_size=BATCH, mode="standard")
    seen = []
    result = reconstructor.run(
        gray(100, 200), source=source, sink=lambda _, results, truth: seen.extend(results)
    )
    assert [list(frame[0, 0]) for frame in seen] == [[50, 50, 0], [100, 100, 0]]
    assert result.static == {}
    assert result.metrics["keypoints"] == pytest.approx(75 / 255)
    assert set(result.metrics) == {"keypoints", "change_ratio"}


def test_clips_of_any_length_compile_nothing(checkpoint):
    reconstructor = Reconstructor(checkpoint, batch_size=BATCH)
    reconstructor.run(gray(0, 100))
    with compilations() as compiled:
        for count in (1, 5, BATCH, BATCH + 1, 2 * BATCH, 2 * BATCH + 5):
            assert reconstructor.run(gray(*range(count))).frames == count
        another = Reconstructor(checkpoint, batch_size=BATCH)
        assert another.run(gray(7, 8, 9)).frames == 3
    assert compiled == []
    # So that another checkpoint of the same networks compiles nothing, either.
    one, other = (build_model(model_params()) for _ in range(2))
    assert (one, hash(one)) == (other, hash(other))


def test_few_frames_are_in_memory(checkpoint):
    read = taken = most = 0

    def frames():
        nonlocal read, most
        for value in range(200):
            read += 1
            most = max(most, read - taken)
            yield np.full((SIZE, SIZE, 3), value, np.uint8)

    def sink(driving, results, truth):
        nonlocal taken
        taken += len(driving)

    assert Reconstructor(checkpoint, batch_size=BATCH).run(frames(), sink=sink).frames == 200
    # Those that wait, one that is being read, one in the thread's hand, one here, one computed.
    assert most <= (BATCHES_AHEAD + 4) * BATCH


def test_totals_weigh_clips_by_their_frames():
    clips = [
        {"frames": 1, "metrics": {"l1": 0.1}},
        {"frames": 3, "metrics": {"l1": 0.5, "flicker": 0.2, "psnr": 20}},
        {"frames": 5, "metrics": {"l1": 0.0, "flicker": 0.5, "psnr": 32}},
    ]
    totals = mean_over_frames(clips, "metrics")
    assert totals["l1"] == pytest.approx((0.1 + 1.5) / 9)
    assert totals["flicker"] == pytest.approx((2 * 0.2 + 4 * 0.5) / 6)
    assert totals["psnr"] == pytest.approx((2 * 20 + 4 * 32) / 6)


def test_batch_that_does_not_divide(checkpoint):
    with pytest.raises(InputError, match="batch_size 3 does not divide among the 8 devices"):
        Reconstructor(checkpoint, batch_size=3)


def test_broken_and_wrongly_sized_clips():
    def breaks():
        yield from gray(1)
        raise InputError("frame 1 of the clip x cannot be decoded")

    size = (SIZE, SIZE)
    with pytest.raises(BrokenClipError, match="cannot be decoded"):
        list(checked_frames(breaks, "x", size))
    with pytest.raises(BrokenClipError, match="the clip x has no frame"):
        list(checked_frames(lambda: iter(()), "x", size))
    with pytest.raises(FrameSizeError, match="frame 0 of the clip x is 32 x 32 .* takes 64 x 32"):
        list(checked_frames(lambda: iter(gray(1)), "x", (32, 64)))
