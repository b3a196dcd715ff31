"""Samples that were read from another clip are counted in the log, once each."""

import pytest

from tests.helpers.fake_trainer import batches, lines
from tests.helpers.loop_runs import run
from tpsm_jax.checkpoints.run import Progress
from tpsm_jax.training.skipped_samples import SkippedSamples


def with_skipped(start):
    """Step n + 1 gets n % 3 samples of other clips."""
    for step, batch in enumerate(batches(start), start):
        yield {**batch, "skipped": step % 3}


def counts(workdir):
    return [line["skipped_samples"] for line in lines(workdir)]


@pytest.mark.parametrize("stops", [(12,), (5, 12), (1, 4, 10, 12)])
def test_the_log_counts_them_also_over_interruptions(tmp_path, stops):
    for total_steps in stops:
        run(tmp_path, with_skipped, skip_broken=2, total_steps=total_steps)
    assert counts(tmp_path) == [0, 1, 3, 3, 4, 6, 6, 7, 9, 9, 10, 12]


def test_steps_without_a_line_count_in_the_next(tmp_path):
    run(tmp_path, with_skipped, skip_broken=2, log_every=5)
    assert counts(tmp_path) == [4, 9, 12]


def test_a_run_that_skips_none_has_no_such_number(tmp_path):
    run(tmp_path)
    assert "skipped_samples" not in lines(tmp_path)[0]


def test_batches_that_are_only_read_ahead_do_not_count():
    progress = Progress(skipped_samples=10)
    skipped = SkippedSamples(progress, counts=True)
    ahead = skipped.watch(iter([{"skipped": 1}, {"skipped": 2}, {}]))
    assert list(ahead) == [{}, {}, {}]
    skipped.advance()
    assert skipped.fetch() == {"skipped_samples": 11}
    assert skipped.fetch() == {"skipped_samples": 11}
    skipped.advance()
    skipped.advance()
    assert skipped.fetch() == {"skipped_samples": 13}
    assert progress.skipped_samples == 13
