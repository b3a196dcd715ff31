"""Paths as users write them."""

import os
import re

from tpsm_jax.errors import InputError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def local_path(text: str) -> str:
    """Expands the `~` at the beginning of a path, and refuses URLs.

    A shell expands no `~` in `--workdir=~/x`, and none in a config.

    Args:
      text: a path; a "/" at its end stays.

    Returns:
      The path. A `~name` of no user is a name like any other, as in a shell.

    Raises:
      InputError: it is a URL, or there is no home folder.
    """
    if _URL.match(text):
        raise InputError(
            f"{text} is a URL, and files are read and written on local or mounted disks alone: "
            "copy it to one, or mount it, and give the path there"
        )
    return expand_home(text)


def expand_home(text: str) -> str:
    """Expands the `~` at the beginning of a path, and leaves URLs as they are.

    Raises:
      InputError: this user has no home folder.
    """
    expanded = os.path.expanduser(text)
    # With an empty HOME, as some services have, ~/x would be /x.
    is_missing = expanded == text or os.environ.get("HOME") == ""
    if is_missing and (text == "~" or text.startswith("~/")):
        raise InputError(f"{text}: this user has no home folder; set HOME, or give the whole path")
    return expanded
