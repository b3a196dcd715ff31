"""What a command writes and the data that it reads, kept out of each other."""

import os
from pathlib import Path

from tpsm_jax.errors import InputError

CLIPS = "whose entries are clips"  # why nothing is written within a data set


def refuse_within(
    place: str | Path, name: str, outer: str | Path, outer_name: str, why: str = CLIPS
) -> None:
    """Refuses a place within another one. Links are resolved.

    Args:
      place: a path, where there need be nothing yet.
      name: its flag or field, for the error.
      outer: the path that it must not be within, nor be.
      outer_name: its flag or field.
      why: completes "PLACE is within OUTER, ...".

    Raises:
      InputError: it is.
    """
    # Path.resolve fails where a link leads in a circle.
    if Path(os.path.realpath(place)).is_relative_to(os.path.realpath(outer)):
        raise InputError(f"{name} {place} is within {outer_name} {outer}, {why}: give another")
