"""Names that tables and lists give, before they become names of files."""

import unicodedata

from tpsm_jax.errors import InputError

LONGEST_NAME = 255  # bytes that common file systems take
# The second is the separator of Windows, which may read the same disk.
_SEPARATORS = ("/", "\\")


def safe_name(name: str, what: str) -> str:
    """Returns a name that stays within the folder that it is joined to, or refuses it.

    Args:
      name: one part of a path, from a file that someone else may have written.
      what: names the thing and where it was read, for the error.

    Returns:
      `name`, unchanged.

    Raises:
      InputError: it is empty, hidden ('.' and '..' among those), holds a separator of folders or a
        control character, or is longer than file systems take.
    """
    if reason := _reason(name):
        raise InputError(f"{what} is named {name[:80]!r}, which {reason}: rename it")
    return name


def _reason(name: str) -> str:
    """Why a name is refused, or ""."""
    if not name:
        return "is empty"
    if name.startswith("."):
        return "begins with a dot"
    for separator in _SEPARATORS:
        if separator in name:
            return f"holds a {separator}"
    # The first question is quick, and enough for nearly all of a million names.
    if not name.isprintable() and any(unicodedata.category(each) == "Cc" for each in name):
        return "holds a control character"
    # Names of other encodings hold surrogates.
    if (length := len(name.encode(errors="surrogatepass"))) > LONGEST_NAME:
        return f"has {length} bytes, and file systems take {LONGEST_NAME}"
    return ""
