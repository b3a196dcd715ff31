"""Counts the samples that were read from another clip, because theirs is broken."""

from collections import deque
from collections.abc import Iterator

from tpsm_jax.checkpoints.run import Progress
from tpsm_jax.parallel.distributed import gathered
from tpsm_jax.parallel.sharding import HostBatch


class SkippedSamples:
    """Batches are read ahead; a batch's samples count once its step is taken."""

    def __init__(self, progress: Progress, *, counts: bool):
        """Begins with those of `progress`.

        Args:
          progress: gets the samples of all processes.
          counts: whether there can be any, the same in every process.
        """
        self._progress, self._counts = progress, counts
        self._ahead: deque[int] = deque()
        self._new = 0

    def watch(self, batches: Iterator[HostBatch]) -> Iterator[HostBatch]:
        """The batches, each without the number "skipped" that the reader may have added."""
        for batch in batches:
            self._ahead.append(batch.pop("skipped", 0))
            yield batch

    def advance(self) -> None:
        """The oldest batch that was passed on is used in a step."""
        self._new += self._ahead.popleft()

    def fetch(self) -> dict[str, float]:
        """Adds up what all processes have counted. A collective.

        Returns:
          "skipped_samples", the number in the run so far; {} if there cannot be any.
        """
        if not self._counts:
            return {}
        self._progress.skipped_samples += sum(gathered(self._new))
        self._new = 0
        return {"skipped_samples": self._progress.skipped_samples}
