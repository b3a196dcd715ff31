"""Pillow's own warnings and log, hidden: errors that it raises are reported by the readers."""

import logging
import re
import warnings

# Some of Pillow's errors are logged before they are raised. We report them once.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def quiet_pillow() -> None:
    """Hides the warnings that Pillow's own modules give, from now on.

    They are about damaged metadata, which is ignored, and pictures of more than half the limit. A
    filter is global, and `warnings.catch_warnings` is for one thread alone, so it stays.
    """
    hidden = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
    if warnings.filters[:1] != [hidden]:
        warnings.filterwarnings("ignore", module=r"PIL\.")
