"""Parsing JSON that may be damaged."""

import json
from typing import Any


def parse_json(text: str) -> Any:
    """Parses JSON as `json.loads` does, and raises nothing but ValueError.

    Args:
      text: a whole document.

    Raises:
      ValueError: it is no JSON, or nested too deeply to be read.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
