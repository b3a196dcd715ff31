"""What a preparation is asked for, and what it leaves."""

import json
from pathlib import Path

from data.prepare import open_prepared

PNG = ("--format", "png")


def names(root: Path, split: str = "train") -> list[str]:
    return [clip.name for clip in open_prepared(root, split)]


def report(root: Path) -> dict[str, list[dict]]:
    return json.loads((root / "broken.json").read_text())
