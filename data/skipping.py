"""Takes another clip where one cannot be read, for a few broken clips.

Which clip takes the place is a function of the seed and the sample's number, so that a run resumes
as it was, in any number of processes and threads.
"""

import sys
from collections.abc import Callable, Iterable

from data.clip import Clip
from data.sample_reader import Sample
from tpsm_jax.errors import InputError

WAY_ON = (
    "put another file in its place and run the same command again, or pass over up to N broken "
    "clips by --config.skip_broken=N"
)


class BrokenClips:
    """The clips that turn out to be broken while a process reads samples."""

    def __init__(self, most: int):
        """Begins with none.

        Args:
          most: the number of broken clips that are passed over; one more is an error.
        """
        self._most = most
        self._met: set[tuple[str, str]] = set()
        # Sample -> the name of the clip that was read at last, and those before with their errors.
        self._replaced: dict[int, tuple[str, list[tuple[Clip, InputError]]]] = {}

    def read(
        self, number: int, candidates: Iterable[Clip], read: Callable[[Clip], Sample]
    ) -> Sample:
        """Reads the first clip that can be read. Any thread calls it, in any order.

        Args:
          number: number of the sample.
          candidates: the sample's clip, then others to take in its place.
          read: reads a sample of a clip.

        Raises:
          InputError: more clips are broken than are passed over.
        """
        broken: list[tuple[Clip, InputError]] = []
        for clip in candidates:
            try:
                sample = read(clip)
            except InputError as error:
                broken.append((clip, error))
                if len(broken) > self._most:
                    break
            else:
                if broken:
                    self._replaced[number] = clip.name, broken
                return sample
        raise self._too_many(broken[-1][1], len(broken))

    def count_replaced(self, numbers: Iterable[int]) -> int:
        """Reports the broken clips of samples, in their order, each clip once.

        Args:
          numbers: the samples of a batch.

        Returns:
          The number of samples that were read from another clip.

        Raises:
          InputError: there have been more broken clips by now than are passed over.
        """
        replaced = [self._replaced[number] for number in numbers if number in self._replaced]
        for _, broken in replaced:
            for clip, error in broken:
                if (key := (str(clip.path), clip.name)) in self._met:
                    continue
                self._met.add(key)
                if len(self._met) > self._most:
                    raise self._too_many(error, len(self._met))
                print(
                    f"warning: {error}; other clips are taken in place of {clip.name} "
                    f"({len(self._met)} of --config.skip_broken={self._most})",
                    file=sys.stderr,
                )
        return len(replaced)

    def take_name(self, number: int) -> str | None:
        """The name of the clip that took the place of a sample's; None if none did. Asked once."""
        name, _ = self._replaced.pop(number, (None, []))
        return name

    def _too_many(self, error: InputError, count: int) -> InputError:
        if not self._most:
            return InputError(f"{error}; {WAY_ON}")
        return InputError(
            f"{error}; this is broken clip number {count}, and --config.skip_broken is "
            f"{self._most}: put another file in its place, or raise the number"
        )
